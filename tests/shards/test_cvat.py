"""CVAT's two exports: XML for images, and coloured masks."""

import numpy as np
import pytest

from shards.cvat import CVAT, CVATMasks, mask_of_runs
from shards.sample import BadSample, encoded
from tests.support.corpora import bad, put, samples
from tests.support.drawings import HEIGHT, WIDTH, block, label_map, only, photo, upright
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError

LABELS = "".join(f"<label><name>{n}</name></label>" for n in ("cup", "fork"))
META = f"<meta><task><name>t</name><labels>{LABELS}</labels></task></meta>"
POLYGON = '<polygon label="cup" source="manual" points="2.00,3.00;9.00,3.00;9.00,8.00;2.00,8.00"/>'
BOX = '<box label="cup" occluded="0" xtl="2.0" ytl="3.0" xbr="9.0" ybr="8.0" {}></box>'


def image(*shapes, name="a.jpg", size=(WIDTH, HEIGHT), more=""):
    width, height = size
    about = f'id="0" name="{name}" width="{width}" height="{height}" {more}'
    return f"<image {about}>{''.join(shapes)}</image>"


def document(*images, meta=META):
    return f"<?xml version='1.0'?><annotations><version>1.1</version>{meta}{''.join(images)}</annotations>"


def source(folder, text, data=None, **options):
    put(str(folder), {"annotations.xml": text.encode(), "images/a.jpg": data or photo()})
    return CVAT(folder / "annotations.xml", folder / "images", **options).source()


def drawn(folder, *shapes, **options):
    return only(source(folder, document(image(*shapes)), **options))


@pytest.mark.parametrize(
    "shape",
    [
        POLYGON,
        BOX.format(""),
        BOX.format('rotation="0.0"'),
        BOX.format('rotation="180"'),
        '<mask label="cup" rle="0, 35" left="2" top="3" width="7" height="5" z_order="0"/>',
        '<mask label="cup" rle="9,7,1,7,1,7,1,7,1,7" left="1" top="2" width="8" height="6"/>',
    ],
)
def test_a_shape_of_any_kind_covers_its_pixels_alone(tmp_path, shape):
    assert label_map(drawn(tmp_path, shape)).tolist() == block(2, 3, 9, 8, 0).tolist()


def test_a_box_is_turned_clockwise_about_its_centre(tmp_path):
    box = '<box label="cup" xtl="4" ytl="5" xbr="12" ybr="7" rotation="90"/>'
    assert label_map(drawn(tmp_path, box)).tolist() == block(7, 2, 9, 10, 0).tolist()


def test_an_ellipse_has_its_centre_and_radii(tmp_path):
    ellipse = '<ellipse label="cup" cx="8" cy="6" rx="5" ry="2" rotation="{}"/>'
    rows, columns = np.mgrid[0.5:HEIGHT, 0.5:WIDTH]
    for angle, across, down in ((0, 5, 2), (90, 2, 5)):
        inside = ((columns - 8) / across) ** 2 + ((rows - 6) / down) ** 2 <= 1
        found = label_map(drawn(tmp_path, ellipse.format(angle)))
        assert np.array_equal(found == 0, inside)


def test_a_higher_z_order_lies_over_a_lower_one_and_the_later_of_equals_on_top(tmp_path):
    shapes = [
        '<box label="fork" xtl="0" ytl="0" xbr="4" ybr="4" z_order="2"/>',
        '<box label="cup" xtl="0" ytl="0" xbr="8" ybr="8" z_order="-1"/>',
        '<box label="fork" xtl="6" ytl="6" xbr="9" ybr="9" z_order="-1"/>',
        '<polyline label="?" points="0,0;5,5"/><points label="?" points="1,1"/><tag label="?"/>',
    ]
    expected = block(0, 0, 8, 8, 0)
    expected[:4, :4], expected[6:9, 6:9] = 1, 1
    assert label_map(drawn(tmp_path, *shapes)).tolist() == expected.tolist()


def test_the_tasks_labels_are_the_classes_background_first_or_a_list_is(tmp_path):
    labels = "".join(f"<label><name>{n}</name></label>" for n in ("cup", "background", "void"))
    text = document(image(POLYGON), meta=f"<meta><task><labels>{labels}</labels></task></meta>")
    built = source(tmp_path, text, ignore=("void",))
    assert built.classes == ("background", "cup")
    assert sorted(np.unique(label_map(only(built))).tolist()) == [0, 1]
    (tmp_path / "n.txt").write_text("fork\nmug|cup")
    built = source(tmp_path, text, classes=tmp_path / "n.txt")
    assert built.classes == ("fork", "mug, cup")
    assert sorted(np.unique(label_map(only(built))).tolist()) == [1, IGNORE]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_was_drawn_on_the_upright_picture_lies_there(tmp_path, orientation):
    found = only(source(tmp_path, document(image(POLYGON)), photo(orientation)))
    assert upright(found).tolist() == block(2, 3, 9, 8, 0).tolist()


def test_photos_of_a_project_lie_in_their_subsets(tmp_path):
    put(str(tmp_path), {"images/train/b.jpg": photo()})
    text = document(image(POLYGON), image(POLYGON, name="b.jpg", more='subset="train"'))
    found = samples(source(tmp_path, text))
    assert [sample.key for sample in found] == ["a", "b"]


@pytest.mark.parametrize(
    "shape",
    [
        '<polygon label="cup" points="nan,1;4,1;4,4"/>',
        '<polygon label="cup" points="1,1;1e300,1;4,4"/>',
        '<polygon label="cup" points="1,1;inf,1;4,4"/>',
        '<polygon label="cup" points="1;4,1;4,4"/>',
        '<polygon label="cup"/>',
        "<polygon points='1,1;2,2;3,1'/>",
        '<box label="cup" xtl="x" ytl="3" xbr="9" ybr="8"/>',
        '<ellipse label="cup" cx="8" cy="6" rx="nan" ry="2"/>',
        '<ellipse label="cup" cx="8" cy="6" rx="3" ry="2" rotation="inf"/>',
        '<mask label="cup" rle="3, 9" left="2" top="3" width="7" height="5"/>',
        '<mask label="cup" rle="-3, 38" left="2" top="3" width="7" height="5"/>',
        '<mask label="cup" rle="0,10000000000" left="2" top="3" width="100000" height="100000"/>',
        '<polygon label="spoon" points="1,1;4,1;4,4"/>',
        '<star label="cup"/>',
    ],
)
def test_what_cannot_be_drawn_leaves_the_image_out_by_name(tmp_path, shape):
    (told,) = bad(source(tmp_path, document(image(shape))))
    assert told.startswith(f"{tmp_path}/annotations.xml: a.jpg: ")
    assert "\n" not in told


def test_images_of_other_sizes_and_those_that_are_missing_are_named(tmp_path):
    text = document(
        image(POLYGON, size=(5, 5)), image(name="b.jpg"), image(name="c.jpg", size=("", 3))
    )
    put(str(tmp_path), {"images/c.jpg": photo()})
    told = bad(source(tmp_path, text))
    assert "20x12 pixels, it is for 5x5" in told[0]
    assert told[1] == f"{tmp_path}/images/b.jpg: missing"
    assert len(told) == 3


@pytest.mark.parametrize(
    "text",
    [
        *("", "<annotations", "<annotations/>", "<other><image name='a'/></other>"),
        document(image(), image()),
        document(image(name="")),
        document("<track id='0' label='cup'><box frame='0'/></track>"),
    ],
)
def test_a_file_that_is_no_export_for_images_is_refused_by_name(tmp_path, text):
    with pytest.raises(InputError, match=r"annotations\.xml"):
        source(tmp_path, text)


def test_runs_are_outside_first_row_after_row():
    assert mask_of_runs("1,2,3", (3, 2)).tolist() == [[False, True, True], [False] * 3]
    assert mask_of_runs("", (0, 0)).shape == (0, 0)
    with pytest.raises(BadSample, match="7 pixels, its rectangle 3x2"):
        mask_of_runs("1,6", (3, 2))


LABELMAP = (
    "# label:color_rgb:parts:actions\ncup:255,0,0::\nbackground:0,0,0::\nfork:0,0,255:a,b:c\n"
)


def masks(folder, text=LABELMAP, colour=(255, 0, 0), **options):
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[3:8, 2:9] = colour
    files = {
        "labelmap.txt": text.encode(),
        "SegmentationClass/a.png": encoded(pixels, "png"),
        "JPEGImages/a.jpg": photo(),
    }
    put(str(folder), files)
    return CVATMasks(folder, **options).source()


def test_colours_are_the_labelmaps(tmp_path):
    built = masks(tmp_path)
    assert built.classes == ("background", "cup", "fork")
    expected = block(2, 3, 9, 8)
    expected[expected == IGNORE] = 0
    assert label_map(only(built)).tolist() == expected.tolist()
    expected[expected == 1] = IGNORE
    built = masks(tmp_path, ignore=("cup",))
    assert built.classes == ("background", "fork")
    assert label_map(only(built)).tolist() == expected.tolist()


def test_a_list_may_choose_among_the_labels(tmp_path):
    (tmp_path / "n.txt").write_text("spoon\nmug|cup")
    built = masks(tmp_path, classes=tmp_path / "n.txt", ignore=("background",))
    assert label_map(only(built)).tolist() == block(2, 3, 9, 8).tolist()
    (told,) = bad(masks(tmp_path, classes=tmp_path / "n.txt"))
    assert "holds colour #000000" in told


def test_what_the_labelmap_does_not_have_is_named(tmp_path):
    (told,) = bad(masks(tmp_path, colour=(1, 2, 3)))
    assert told.endswith(
        "SegmentationClass/a.png: holds colour #010203, which the class list does not have"
    )
    for text in ("cup\n", "cup:1,2::\n", "a:1,1,1::\nb:1,1,1::\n", "\xff", ""):
        with pytest.raises(InputError, match=r"labelmap\.txt"):
            masks(tmp_path, text)
