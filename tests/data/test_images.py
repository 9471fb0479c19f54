import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps
from torchvision import transforms

from zeroseg.data.images import centre_crop, decode_image, resized

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def file_of(image: Image.Image, kind: str = "png", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_png_decodes_to_exactly_its_pixels():
    assert np.array_equal(decode_image(file_of(Image.fromarray(PIXELS))), PIXELS.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "jpeg"),
        ("L", "jpeg"),
        ("CMYK", "jpeg"),
        ("L", "png"),
        ("LA", "png"),
        ("P", "png"),
        ("1", "png"),
        ("RGBA", "png"),
        ("RGBA", "webp"),
        ("CMYK", "tiff"),
        ("I;16", "png"),
    ],
)
def test_every_mode_decodes_to_8_bit_rgb_of_its_size(mode, kind):
    if mode == "I;16":
        image = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(PIXELS).convert(mode)
    assert image.mode == mode
    decoded = decode_image(file_of(image, kind))
    assert decoded.dtype == torch.uint8
    assert decoded.shape == (3, 5, 7)


def test_a_grey_picture_has_three_equal_channels():
    red, green, blue = decode_image(file_of(Image.fromarray(PIXELS[..., 0])))
    assert torch.equal(red, green)
    assert torch.equal(red, blue)
    assert np.array_equal(red, PIXELS[..., 0])


UPRIGHT = torch.from_numpy(PIXELS).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, UPRIGHT),
        (2, UPRIGHT.flip(2)),
        (3, UPRIGHT.flip(1, 2)),
        (6, UPRIGHT.rot90(-1, (1, 2))),
        (8, UPRIGHT.rot90(1, (1, 2))),
    ],
)
def test_a_camera_turned_on_its_side_gives_an_upright_picture(orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert torch.equal(decode_image(file_of(Image.fromarray(PIXELS), exif=exif)), expected)


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_bytes_that_are_no_picture_are_an_error(data):
    with pytest.raises(OSError):  # noqa: PT011
        decode_image(data)


def test_a_picture_cut_short_is_an_error():
    data = file_of(Image.fromarray(np.tile(PIXELS, (9, 9, 1))), "jpeg")
    with pytest.raises(ValueError, match="Premature end"):
        decode_image(data[: len(data) // 2])


def test_a_picture_of_the_right_size_is_only_scaled_to_one():
    assert torch.equal(resized(UPRIGHT, (5, 7)), UPRIGHT)


@settings(max_examples=25)
@given(st.integers(0, 255), st.tuples(*[st.integers(1, 12)] * 4))
def test_a_plain_picture_stays_plain_at_any_size(value, sides):
    plain = torch.full((3, *sides[:2]), value, dtype=torch.uint8)
    assert torch.equal(
        resized(plain, sides[2:]), torch.full((3, *sides[2:]), value, dtype=torch.uint8)
    )


def test_a_picture_is_resized_as_pillow_does_it():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    ours = resized(torch.from_numpy(pixels).permute(2, 0, 1), (40, 61))
    theirs = np.array(Image.fromarray(pixels).resize((61, 40), Image.Resampling.BICUBIC))
    assert np.abs(ours.permute(1, 2, 0).numpy().astype(int) - theirs).mean() < 0.05


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_is_decoded_to_pillows_own_pixels_upright(turn, mode):
    pixels = np.random.default_rng(turn).integers(0, 256, (13, 21, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "jpeg", exif=exif)
    with Image.open(buffer) as image:
        upright = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    assert torch.equal(decode_image(buffer.getvalue()), torch.from_numpy(upright).permute(2, 0, 1))


@pytest.mark.parametrize("size", [(90, 130), (131, 90), (97, 97), (40, 300)])
def test_a_centre_crop_is_torchvisions(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    usual = transforms.Compose([transforms.Resize(32, 3), transforms.CenterCrop(32)])
    theirs = np.array(usual(Image.fromarray(pixels))).astype(int)
    ours = centre_crop(torch.from_numpy(pixels).permute(2, 0, 1), 32).permute(1, 2, 0).numpy()
    assert np.abs(ours - theirs).mean() < 0.05


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (8, 8), (9, 20), (200, 11), (8, 9)])
def test_a_centre_crop_is_a_square_of_the_side_from_any_size(size):
    image = torch.zeros(3, *size, dtype=torch.uint8)
    assert centre_crop(image, 8).shape == (3, 8, 8)


@pytest.mark.parametrize("wide", [True, False])
def test_a_centre_crop_takes_the_middle_of_the_longer_side(wide):
    ramp = torch.arange(10, dtype=torch.uint8).expand(3, 4, 10)
    crop = centre_crop(ramp if wide else ramp.mT, 4)
    middle = torch.arange(3, 7).expand(3, 4, 4)
    assert torch.equal(crop, middle if wide else middle.mT)
