"""Picture files of any format: which are read, how they lie, and how their pixels become 8-bit RGB."""

import importlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from jaxtyping import Shaped, UInt8
from numpy import ndarray
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

MAX_PIXELS = 89_478_485
"""A picture of more is refused as a decompression bomb; Pillow's own limit, for every format."""
FORMATS = (
    *("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM"),
    *("PSD", "QOI", "SGI", "TIFF", "WEBP"),
)
"""What files may hold, whatever their names end in. Formats that Pillow hands to another program, or
knows by no signature, are left out; a TGA is known by the signature at its end."""
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
"""Brands in the first box of such a file; the last two may be AVIF's too."""
_DEPTHS = (8, 10, 12, 16)
_UPRIGHT = 1
_METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns stored pixels upright, by EXIF's orientation; Pillow's angles are against the clock."""


@contextmanager
def opened(data: bytes) -> Iterator[ImageFile.ImageFile]:
    """A picture file, its header read; broken tags that Pillow reads past make no warnings.

    Raises ValueError for a HEIC file without its package and for a decompression bomb, or what
    Pillow raises for what is no picture, and for a PNG with a wrong checksum.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        formats = _formats(data)
        if data.startswith(b"\x89PNG"):  # decoding would pass over the pixels' checksums
            with _open(data, formats) as image:
                image.verify()
        with _open(data, formats) as image:
            check_pixels(*image.size)
            yield image


def check_pixels(width: int, height: int) -> None:
    """Raises ValueError on a decompression bomb."""
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are over the limit of {MAX_PIXELS}")


def upright_pixels(data: bytes) -> tuple[UInt8[ndarray, "height width 3"], int]:
    """Pixels of a picture file, turned upright, and how they are stored.

    Raises what `opened` and `rgb` raise, and ValueError for 16-bit colour in its lowest 12 bits, of
    which Pillow keeps nearly nothing.
    """
    with opened(data) as image:
        deep_colour = ";16" in str(image.tile) and not image.mode.startswith("I")
        stored = orientation(image)
        image.load()  # Pillow turns a TIFF itself here
        pixels = turned_colours(rgb(image), orientation(image))
    if deep_colour and pixels.max() < 2**4:
        raise ValueError("16-bit colour of which no value reaches 4096 would be black in 8 bits")
    return pixels, stored


def size_in_file(image: Image.Image) -> tuple[int, int]:
    """(height, width) of an opened picture's pixels as its file stores them."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # its own size is that of the upright one
        return image.tag_v2[TiffImagePlugin.IMAGELENGTH], image.tag_v2[TiffImagePlugin.IMAGEWIDTH]
    return image.height, image.width


def orientation(image: Image.Image) -> int:
    """How the stored pixels lie, as EXIF counts from 1 to 8, or else XMP; 1 where neither says so."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    except Exception:  # broken tags can raise nearly anything, and the pixels are none the worse
        return _UPRIGHT
    return next((known for known in range(1, 9) if value == known), _UPRIGHT)


def turned_colours(
    pixels: UInt8[ndarray, "height width 3"], orientation: int
) -> UInt8[ndarray, "new_height new_width 3"]:
    """The same as `turned`, of colours; Pillow needs a third of NumPy's time for those."""
    if orientation == _UPRIGHT:
        return pixels
    return np.array(Image.fromarray(pixels).transpose(_METHODS[orientation]))


def turned(
    pixels: Shaped[ndarray, "height width *channels"], orientation: int
) -> Shaped[ndarray, "new_height new_width *channels"]:
    """Stored pixels, of a picture or its label map, turned upright."""
    match orientation:
        case 2:
            pixels = pixels[:, ::-1]
        case 3:
            pixels = pixels[::-1, ::-1]
        case 4:
            pixels = pixels[::-1]
        case 5:
            pixels = pixels.swapaxes(0, 1)
        case 6:
            pixels = np.rot90(pixels, -1)
        case 7:
            pixels = pixels[::-1, ::-1].swapaxes(0, 1)
        case 8:
            pixels = np.rot90(pixels)
    return np.ascontiguousarray(pixels)


def turned_back(
    pixels: Shaped[ndarray, "height width *channels"], orientation: int
) -> Shaped[ndarray, "stored_height stored_width *channels"]:
    """Upright pixels as the file stores them: what `turned` turns upright."""
    return turned(pixels, {6: 8, 8: 6}.get(orientation, orientation))


def rgb(image: Image.Image) -> UInt8[ndarray, "height width 3"]:
    """A picture of any of Pillow's modes as 8-bit RGB; alpha is dropped.

    Integer grey has the depth that its TIFF states, else the least of 8, 10, 12 and 16 bits that
    holds its largest value; floating-point grey lies in [0, 1]. Raises ValueError for other numbers
    and for modes that Pillow cannot convert.
    """
    if image.mode == "F":
        grey = np.array(image)
        _check_range(grey, 1, "floating-point")
        image = Image.fromarray((grey * 255).round().astype(np.uint8))
    elif image.mode.startswith("I"):  # Pillow would clip it at 255
        grey = np.array(image).astype(np.int64)
        _check_range(grey, 65535, "integer")
        image = Image.fromarray((grey * 255 // _white(image, grey)).astype(np.uint8))
    elif image.mode == "P":  # straight to RGB, Pillow warns where the palette has alpha
        image = image.convert("RGBA")
    elif image.mode == "La":  # Pillow has no way from there to colours
        image = image.convert("LA")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _check_range(grey: ndarray, most: int, kind: str) -> None:
    if not ((grey >= 0) & (grey <= most)).all():
        raise ValueError(
            f"{kind} grey from {grey.min():g} to {grey.max():g}: only that from 0 to {most} is read"
        )


def _white(image: Image.Image, grey: ndarray) -> int:
    """The number that is white in integer grey."""
    depth = next(depth for depth in _DEPTHS if grey.max() < 2**depth)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        stated = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
        depth = stated if 8 < stated < 16 else depth
    return 2**depth - 1


def _open(data: bytes, formats: list[str]) -> ImageFile.ImageFile:
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError as error:  # Pillow's own text has an address in memory
        raise UnidentifiedImageError("no picture, or none of a format that is read") from error


def _formats(data: bytes) -> list[str]:
    """Those of FORMATS that the installed Pillow has, and what else these bytes are for certain."""
    known = _installed()
    if data.endswith(b"TRUEVISION-XFILE.\0"):
        return [*known, "TGA"]
    box = data[: int.from_bytes(data[:4])] if data[4:8] == b"ftyp" else b""
    if box[8:12] in _HEIC and b"avif" not in box and b"avis" not in box:
        _register_heic()
        return ["HEIF"]
    return known


@cache
def _installed() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


@cache
def _register_heic() -> None:
    """Raises ValueError where the package that reads HEIC is not installed."""
    try:
        pillow_heif = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise ValueError("a HEIC picture needs pillow-heif: pip install 'zeroseg[heic]'") from error
    pillow_heif.register_heif_opener()
