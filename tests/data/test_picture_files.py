"""Picture files as people have them: one verdict and one result, whoever reads them."""

import importlib.util
import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, UnidentifiedImageError, features

from shards.sample import BadSample, image_size
from tests.support.jpegs import jpeg_of_blocks
from tests.support.pngs import stored_png
from tests.support.tiffs import packed_12_bits, tiff
from zeroseg.data.images import decode_image, looks_whole, stored_size
from zeroseg.data.picture_files import rgb

RANDOM = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
SMOOTH = np.add.outer(np.arange(24) * 4, np.arange(32) * 5)[..., None] + np.array([0, 3, 6])
PHOTO = SMOOTH.astype(np.uint8)


def file_of(pixels: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return decode_image(data).permute(1, 2, 0).numpy()


def pillows(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def first_row(data: bytes) -> list[int]:
    """Of a grey picture."""
    pixels = decoded(data)
    assert (pixels == pixels[..., :1]).all()
    return pixels[0, :, 0].tolist()


SAMPLINGS = {
    "4:4:4": [(1, 1)] * 3,
    "4:2:2": [(2, 1), (1, 1), (1, 1)],
    "4:2:0": [(2, 2), (1, 1), (1, 1)],
    "4:4:0": [(1, 2), (1, 1), (1, 1)],
    "4:1:1": [(4, 1), (1, 1), (1, 1)],
    "4:4:1": [(1, 4), (1, 1), (1, 1)],
    "4:1:0": [(4, 2), (1, 1), (1, 1)],
    "luma 3x1": [(3, 1), (1, 1), (1, 1)],
    "luma 1x3": [(1, 3), (1, 1), (1, 1)],
    "all 2x1": [(2, 1)] * 3,
    "all 1x2": [(1, 2)] * 3,
    "chroma 2x1": [(2, 2), (2, 1), (2, 1)],
    "chroma of two kinds": [(2, 2), (1, 2), (2, 1)],
    "grey 2x2": [(2, 2)],
}


@pytest.mark.parametrize("name", SAMPLINGS)
def test_a_jpeg_of_any_sampling_has_its_own_pixels(name):
    across, down = (1, 1) if "grey" in name else SAMPLINGS[name][0]
    levels = np.arange(4 * across * down).reshape(2 * down, 2 * across) * 5 + 20
    data = jpeg_of_blocks(levels, SAMPLINGS[name])
    pixels = decoded(data)
    assert (pixels[4::8, 4::8] == levels[..., None]).all()
    assert np.array_equal(pixels, pillows(data))
    assert image_size(data) == (pixels.shape[1], pixels.shape[0])


@pytest.mark.parametrize("adobe", [None, 0, 2])
def test_jpegs_of_four_inks_are_pillows(adobe):
    data = jpeg_of_blocks(np.array([[30, 200], [90, 128]]), [(2, 2), (1, 1), (1, 1), (2, 2)], adobe)
    assert np.array_equal(decoded(data), pillows(data))


JPEG = file_of(PHOTO, "jpeg", quality=90)
PROGRESSIVE = file_of(PHOTO, "jpeg", progressive=True)
ODD_JPEGS = {
    "zeros before its end": JPEG[:-2] + bytes(7) + JPEG[-2:],
    "text before its end": JPEG[:-2] + b"written by a camera" + JPEG[-2:],
    "fill bytes before its end": JPEG[:-2] + b"\xff" * 9 + JPEG[-2:],
    "text after its end": JPEG + b"maker's notes",
    "another picture after its end": JPEG + PROGRESSIVE,
    "an unknown JFIF version": JPEG.replace(b"JFIF\0\1", b"JFIF\0\7", 1),
    "a scan of wrong parameters": JPEG.replace(b"\x11\0\x3f\0", b"\x11\0\0\0", 1),
    "a comment": JPEG[:2] + b"\xff\xfe\0\5abc" + JPEG[2:],
    "an ICC profile cut short": JPEG[:2] + b"\xff\xe2\0\x12ICC_PROFILE\0\2\3ab" + JPEG[2:],
}


@pytest.mark.parametrize("name", ODD_JPEGS)
def test_oddities_of_a_jpeg_change_no_pixel(name):
    assert np.array_equal(decoded(ODD_JPEGS[name]), decoded(JPEG))
    assert image_size(ODD_JPEGS[name]) == (32, 24)


@pytest.mark.parametrize("data", [JPEG, PROGRESSIVE], ids=["baseline", "progressive"])
def test_a_jpeg_cut_anywhere_is_a_loss_for_whoever_reads_it(data):
    for end in range(0, len(data), 7):
        with pytest.raises((ValueError, OSError)):
            decode_image(data[:end])
        with pytest.raises(BadSample, match="not a readable picture"):
            image_size(data[:end])


def test_a_jpeg_whose_pixels_end_early_is_a_loss_though_it_has_its_end():
    with pytest.raises(ValueError, match="premature end"):
        decode_image(JPEG[:-60] + b"\xff\xd9")


GREY16 = np.array([[0, 257, 32896, 65535]], np.uint16)
GREY12 = np.array([[0, 17, 2048, 4095]], np.uint16)
GREY10 = np.array([[0, 5, 512, 1023]], np.uint16)
GREY8 = np.array([[0, 1, 128, 255]], np.uint16)
DEEP = {
    "16 bits": (file_of(GREY16, "png"), [0, 1, 128, 255]),
    "12 bits in 16": (file_of(GREY12, "png"), [0, 1, 127, 255]),
    "10 bits in 16": (file_of(GREY10, "png"), [0, 1, 127, 255]),
    "8 bits in 16": (file_of(GREY8, "png"), [0, 1, 128, 255]),
    "black": (file_of(GREY16 * 0, "png"), [0] * 4),
    "TIFF, 16 bits": (file_of(GREY16, "tiff"), [0, 1, 128, 255]),
    "TIFF, 12 bits in 16": (file_of(GREY12, "tiff"), [0, 1, 127, 255]),
    "TIFF, 12 bits": (tiff(packed_12_bits(GREY12), (1, 4), 12), [0, 1, 127, 255]),
    "TIFF, 12 bits, dark": (tiff(packed_12_bits(GREY12 // 16), (1, 4), 12), [0, 0, 7, 15]),
    "TIFF, 32 bits": (tiff(GREY16.astype("<u4").tobytes(), (1, 4), 32), [0, 1, 128, 255]),
    "PGM of 4096 levels": (b"P5 4 1 4095\n" + GREY12.astype(">u2").tobytes(), [0, 1, 127, 255]),
    "TIFF, floats": (
        tiff(np.array([0, 0.25, 0.5, 1], "<f4").tobytes(), (1, 4), 32, sample_format=3),
        [0, 64, 128, 255],
    ),
}


@pytest.mark.parametrize("name", DEEP)
def test_grey_of_any_depth_reaches_from_black_to_white(name):
    data, expected = DEEP[name]
    assert first_row(data) == expected
    assert image_size(data) == (4, 1)


def floats(*values: float) -> bytes:
    return tiff(np.array(values, "<f4").tobytes(), (1, len(values)), 32, sample_format=3)


COLOUR = np.stack([GREY16] * 3, -1)
REFUSED = {
    "floats above 1": (floats(0, 0.5, 255), "floating-point grey from 0 to 255"),
    "negative floats": (floats(-0.1, 1), "floating-point grey from -0.1 to 1"),
    "NaN": (floats(0, float("nan")), "floating-point grey from nan"),
    "infinite": (floats(0, float("inf")), "floating-point grey from 0 to inf"),
    "32 bits": (tiff(b"\0\0\0\0\xff\xff\xff\x7f", (1, 2), 32), "integer grey from 0 to"),
    "below 0": (tiff(b"\xff\xff\0\0", (1, 2), 16, sample_format=2), "integer grey from -1"),
    "12-bit colour in 16": (
        tiff((COLOUR // 16).tobytes(), (1, 4), 16, channels=3, photometric=2),
        "no value reaches 4096",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_numbers_that_no_rule_makes_a_picture_are_refused_by_name(name):
    data, told = REFUSED[name]
    with pytest.raises(ValueError, match=told):
        decode_image(data)
    with pytest.raises(BadSample, match=told):
        image_size(data)


def test_colour_of_16_bits_keeps_its_upper_8():
    deep = tiff(COLOUR.astype("<u2").tobytes(), (1, 4), 16, channels=3, photometric=2)
    assert first_row(deep) == [0, 1, 128, 255]


def paletted(transparency: bytes) -> Image.Image:
    image = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    image.info["transparency"] = transparency
    return image


def test_a_palette_with_transparency_keeps_its_colours():
    data = file_of(paletted(b"\0\x80\xff\x40"), "png")
    assert decoded(data).tolist() == [
        [[10, 20, 30], [40, 50, 60]],
        [[70, 80, 90], [100, 110, 120]],
    ]


MODES = {
    "1": (Image.fromarray(PHOTO).convert("1"), "png"),
    "L": (Image.fromarray(PHOTO).convert("L"), "bmp"),
    "LA": (Image.fromarray(PHOTO).convert("LA"), "png"),
    "RGBA": (Image.fromarray(PHOTO).convert("RGBA"), "webp"),
    "CMYK": (Image.fromarray(PHOTO).convert("CMYK"), "tiff"),
    "YCbCr": (Image.fromarray(PHOTO).convert("YCbCr"), "tiff"),
}


@pytest.mark.parametrize("name", MODES)
def test_a_mode_of_any_file_is_converted_as_pillow_does(name):
    data = file_of(*MODES[name])
    assert np.array_equal(decoded(data), pillows(data))


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "PA", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV"]
)
def test_pictures_in_memory_may_have_any_mode(mode):
    made = Image.fromarray(PHOTO)
    steps = {"La": ["LA", "La"], "RGBa": ["RGBA", "RGBa"], "PA": ["P", "PA"]}.get(mode, [mode])
    for step in steps:
        made = made.convert(step)
    assert rgb(made).shape == PHOTO.shape


LOSSLESS = ["bmp", "gif", "ico", "jpeg2000", "pcx", "png", "ppm", "sgi", "tga", "tiff", "webp"]


@pytest.mark.parametrize("kind", LOSSLESS)
def test_content_decides_what_a_file_is(kind):
    grey = np.repeat(PHOTO[..., :1], 3, -1)
    picture = Image.fromarray(grey[..., 0]) if kind == "gif" else Image.fromarray(grey)
    options = {"lossless": True} if kind == "webp" else {}
    data = file_of(picture, kind, **options | ({"sizes": [(32, 24)]} if kind == "ico" else {}))
    assert np.array_equal(decoded(data), grey)
    assert stored_size(data) == (24, 32)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read():
    assert np.abs(decoded(file_of(PHOTO, "avif", quality=95)).astype(int) - PHOTO).mean() < 4


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tiff"])
def test_of_many_frames_the_first_is_taken(kind):
    others = [Image.fromarray(PHOTO * 0)]
    data = file_of(Image.fromarray(PHOTO[..., 0]), kind, save_all=True, append_images=others)
    assert np.abs(decoded(data)[..., 0].astype(int) - PHOTO[..., 0]).mean() < 3


@pytest.mark.parametrize(
    "data",
    [file_of(PHOTO, "eps"), b"%PDF-1.4", b"GIF89a", bytes(999), b"\x89PNG\r\n\x1a\n", b"BM"],
)
def test_what_is_no_picture_or_needs_another_program_is_a_loss(data):
    with pytest.raises((UnidentifiedImageError, OSError, SyntaxError)):
        decode_image(data)
    with pytest.raises(BadSample):
        image_size(data)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is not None, reason="HEIC is read")
def test_heic_without_its_package_is_a_loss_that_names_the_remedy():
    with pytest.raises(BadSample, match=r"pip install 'zeroseg\[heic\]'"):
        image_size(HEIC)


def test_heic_is_read_with_its_package():
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = file_of(PHOTO, "heif", quality=-1)
    assert np.abs(decoded(data).astype(int) - PHOTO).mean() < 4
    assert stored_size(data) == (24, 32)


def test_a_png_with_a_wrong_checksum_is_a_loss():
    data = file_of(RANDOM, "png")
    place = data.index(b"IDAT") + 40
    with pytest.raises(SyntaxError, match="broken PNG"):
        decode_image(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


def test_a_text_bomb_is_a_loss():
    text = PngImagePlugin.PngInfo()
    text.add_text("a", "b" * 2_000_000, zip=True)
    with pytest.raises(ValueError, match="too large"):
        decode_image(file_of(PHOTO, "png", pnginfo=text))


KINDS = {
    "jpeg": JPEG,
    "progressive": PROGRESSIVE,
    "exif": file_of(
        PHOTO, "jpeg", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
    ),
    "png": file_of(PHOTO, "png"),
    "palette": file_of(paletted(b"\0\x80"), "png"),
    "deep": stored_png(GREY12, 16),
    "webp": file_of(PHOTO, "webp"),
    "gif": file_of(PHOTO[..., 0], "gif"),
    "tiff": file_of(PHOTO, "tiff", compression="tiff_lzw"),
    "raw tiff": tiff(PHOTO.tobytes(), (24, 32), 8, channels=3, photometric=2, tag_274=6),
    "bmp": file_of(PHOTO, "bmp"),
    "jp2": file_of(PHOTO, "jpeg2000"),
    "ppm": file_of(PHOTO, "ppm"),
    "tga": file_of(PHOTO, "tga"),
}


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0, 1),
)
@example("exif", [], 1.0)
def test_broken_pictures_are_read_or_lost_by_all_alike(kind, changes, kept):
    data = bytearray(KINDS[kind])
    for place, value in changes:
        data[int(place * len(data))] = value
    broken = bytes(data[: round(kept * len(data))])
    try:
        pixels = decoded(broken)
    except Exception:
        if not looks_whole(broken):
            with pytest.raises(BadSample):
                image_size(broken)
        return
    assert pixels.dtype == np.uint8
    assert sorted(image_size(broken)) == sorted(pixels.shape[:2])
