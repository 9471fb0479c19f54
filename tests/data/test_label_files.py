import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from tests.support.pngs import GREY, PALETTE, chunk, stored_png
from zeroseg.data.label_files import decode_labels, encode_labels, label_file, label_ids, labels_of
from zeroseg.datasets.benchmarks import IGNORE

KINDS = [(depth, GREY) for depth in (1, 2, 4, 8, 16)] + [(depth, PALETTE) for depth in (1, 2, 4, 8)]
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)


@st.composite
def files(draw):
    """Ids, and a file in which they are stored."""
    depth, kind = draw(st.sampled_from(KINDS))
    most = 2**depth - 1
    values = st.integers(0, most) | st.sampled_from([0, most, min(most, 255)])
    ids = draw(hnp.arrays(np.int64, draw(SHAPES), elements=values))
    return ids, stored_png(ids, depth, kind, interlaced=draw(st.booleans())), depth, kind


LABELS = SHAPES.flatmap(
    lambda shape: hnp.arrays(
        np.int64, shape, elements=st.integers(0, 400) | st.sampled_from([254, 255, 256, IGNORE])
    )
)


def plain(data: bytes) -> np.ndarray:
    """What Pillow makes of a file."""
    return np.array(Image.open(io.BytesIO(data)))


@settings(max_examples=200)
@given(files())
def test_ids_are_those_stored_whatever_the_depth_the_kind_and_the_order(drawn):
    ids, data, depth, _ = drawn
    found = label_ids(data)
    assert np.array_equal(found, ids)
    assert found.dtype == (np.uint16 if depth == 16 else np.uint8)


@settings(max_examples=100)
@given(files())
def test_ignored_is_255_of_up_to_8_bits_and_65535_of_16(drawn):
    ids, data, depth, _ = drawn
    ignored = ids == (65_535 if depth == 16 else 255)
    labels = decode_labels(data)
    assert labels.dtype == torch.long
    assert np.array_equal(labels.numpy(), np.where(ignored, IGNORE, ids))
    assert np.array_equal(labels_of(label_ids(data)), labels.numpy())


@settings(max_examples=100)
@given(LABELS)
def test_labels_come_back_from_the_shallowest_file_that_holds_them(labels):
    data = encode_labels(labels)
    assert np.array_equal(decode_labels(data).numpy(), labels)
    classes = labels[labels != IGNORE]
    narrow = not (classes >= 255).any()
    assert label_ids(data).dtype == (np.uint8 if narrow else np.uint16)
    assert np.array_equal(
        plain(data), np.where(labels == IGNORE, 255, labels) if narrow else labels
    )


@settings(max_examples=100)
@given(files())
def test_a_file_is_kept_where_any_reader_finds_the_same_in_it(drawn):
    ids, data, depth, kind = drawn
    labels = decode_labels(data).numpy()
    kept = label_file(labels, data)
    assert (kept == data) == (kind == PALETTE or depth >= 8)
    assert np.array_equal(decode_labels(kept).numpy(), labels)
    if depth <= 8:
        assert np.array_equal(plain(kept), ids)
    other = np.where(labels == 0, 1, 0)
    assert label_file(other, data) == encode_labels(other)


def test_the_labels_of_a_file_that_is_none_are_written_anew():
    labels = np.array([[0, 1]], np.uint8)
    coloured = io.BytesIO()
    Image.new("RGB", (2, 1)).save(coloured, "png")
    for data in (b"", b"MATLAB 5.0", coloured.getvalue()):
        assert label_file(labels, data) == encode_labels(labels)


def test_bytes_of_ordinary_labels_are_those_that_pillow_writes():
    labels = np.array([[0, 1, 254], [3, 4, 5]], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, "png")
    assert encode_labels(labels) == buffer.getvalue()
    ignored = np.where(labels == 254, IGNORE, labels.astype(np.uint16))
    buffer = io.BytesIO()
    Image.fromarray(np.where(labels == 254, 255, labels).astype(np.uint8)).save(buffer, "png")
    assert encode_labels(ignored) == buffer.getvalue()


@pytest.mark.parametrize("labels", [[[-1, 0]], [[0, 65_536]]])
def test_a_label_that_no_file_holds_is_an_error(labels):
    with pytest.raises(ValueError, match="not 0 to 65535"):
        encode_labels(np.array(labels))


def test_a_transparent_colour_changes_no_id():
    ids = np.array([[0, 1, 3]])
    for kind, alpha in ((GREY, b"\0\1"), (PALETTE, b"\xff\0")):
        data = stored_png(ids, 2, kind, extra=chunk(b"tRNS", alpha))
        assert label_ids(data).tolist() == ids.tolist()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_picture_of_more_channels_is_an_error_naming_its_mode(mode):
    buffer = io.BytesIO()
    Image.new(mode, (3, 2)).save(buffer, "png")
    with pytest.raises(ValueError, match=f"this is PNG, mode {mode}$"):
        decode_labels(buffer.getvalue())


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "BMP"), ("F", "TIFF"), ("P", "GIF"), ("L", "JPEG")]
)
def test_a_picture_that_is_no_png_is_an_error_naming_its_format(mode, kind):
    buffer = io.BytesIO()
    Image.new(mode, (3, 2)).save(buffer, kind)
    with pytest.raises(ValueError, match=f"this is {kind}, mode {mode}"):
        label_ids(buffer.getvalue())


@settings(max_examples=100)
@given(files(), st.data())
def test_a_file_that_is_cut_short_or_changed_by_a_bit_is_an_error_or_says_the_same(drawn, data):
    ids, whole, _, _ = drawn
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    for broken in (whole[:place], bytes(flipped)):
        try:
            found = label_ids(broken)
        except (OSError, SyntaxError, ValueError):
            continue
        assert np.array_equal(found, ids)
