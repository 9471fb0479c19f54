"""Class names of the datasets, in the official order and spelling.

Each list was compared with its source, name by name; commits are of the repositories named.
"""

from collections.abc import Sequence
from pathlib import Path


def _listed(text: str, mark: str = ",") -> tuple[str, ...]:
    """The names between marks, however lines break."""
    return tuple(" ".join(name.split()) for name in text.split(mark))


def _numbered(file: str) -> dict[int, str]:
    """Names by id, in the order of a file beside this one: lines `id: name`."""
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    return {int(i): name for i, _, name in (line.partition(": ") for line in text.splitlines())}


def _told_apart(lists: Sequence[str]) -> tuple[str, ...]:
    """The first of each class's synonyms; where several classes begin alike, all of them."""
    firsts = [names.split(", ")[0] for names in lists]
    return tuple(
        names if firsts.count(first) > 1 else first
        for first, names in zip(firsts, lists, strict=True)
    )


VOC = _listed("""
    aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse,
    motorbike, person, pottedplant, sheep, sofa, train, tvmonitor
""")
"""PASCAL VOC 2012: ids 1 to 20, as the development kit spells them (`VOCinit.m`)."""

CONTEXT = _listed("""
    aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus,
    cabinet, car, cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor,
    flower, food, grass, ground, horse, keyboard, light, motorbike, mountain, mouse, person, plate,
    platform, pottedplant, road, rock, sheep, shelves, sidewalk, sign, sky, snow, sofa, table,
    track, train, tree, truck, tvmonitor, wall, water, window, wood
""")
"""PASCAL Context's 59 frequent classes, as the release's `labels.txt` spells them, in order of id
there; that is the order of mmsegmentation's converted label maps, which hold 1 to 59."""

CONTEXT33 = _listed("""
    aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, table, dog, horse, motorbike,
    person, pottedplant, sheep, sofa, train, tvmonitor, sky, grass, ground, road, building, tree,
    water, mountain, wall, floor, track, keyboard, ceiling
""")
"""The 33 of them that CaGNet splits (`dataset/context/labels.txt` of
bcmi/CaGNet-Zero-Shot-Semantic-Segmentation, commit dc22d5d), in its order; it calls `table`
diningtable."""

CONTEXT459 = tuple(_numbered("context459.txt").values())
"""PASCAL Context's 459 classes, ids 1 to 459 of the release's `labels.txt`: the names of CAT-Seg's
`pc459.json` (cvlab-kaist/CAT-Seg, commit dc295ee), which leaves out spaces; they are where OpenSeg's
list has them (`pascal_context_459.txt` of NVlabs/ODISE, commit 49c0378). One of them is `unknown`."""

COCO_THINGS = _listed("""
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
    fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant,
    bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard,
    sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle,
    wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
    hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
    mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock,
    vase, scissors, teddy bear, hair drier, toothbrush
""")
"""COCO's 80 things, in order of id, 1 to 90 (`labels.txt` of nightrome/cocostuff, commit cad9456,
whose other 11 names up to 91 nothing is labelled with)."""

COCO_STUFF = _listed("""
    banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,
    ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff,
    dirt, door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower,
    fog, food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves,
    light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow,
    plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug,
    salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw,
    structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete,
    wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind,
    window-other, wood
""")
"""COCO-Stuff's 91 kinds of stuff: ids 92 to 182 of the same file."""

COCO_ABSENT = {12: "street sign", 26: "hat", 29: "shoe", 30: "eye glasses", 45: "plate"}
COCO_ABSENT |= {66: "mirror", 68: "window", 69: "desk", 71: "door", 83: "blender", 91: "hair brush"}
"""By id: the 11 categories of the same file that nothing is labelled with."""

_USED = iter(COCO_THINGS + COCO_STUFF)
COCO_CATEGORIES = tuple(COCO_ABSENT.get(i) or next(_USED) for i in range(1, 183))
"""All 182 categories, in order of id."""

ADE_SYNONYMS = _listed(
    """
    wall; building, edifice; sky; floor, flooring; tree; ceiling; road, route; bed;
    windowpane, window; grass; cabinet; sidewalk, pavement;
    person, individual, someone, somebody, mortal, soul; earth, ground; door, double door; table;
    mountain, mount; plant, flora, plant life; curtain, drape, drapery, mantle, pall; chair;
    car, auto, automobile, machine, motorcar; water; painting, picture; sofa, couch, lounge; shelf;
    house; sea; mirror; rug, carpet, carpeting; field; armchair; seat; fence, fencing; desk;
    rock, stone; wardrobe, closet, press; lamp; bathtub, bathing tub, bath, tub; railing, rail;
    cushion; base, pedestal, stand; box; column, pillar; signboard, sign;
    chest of drawers, chest, bureau, dresser; counter; sand; sink; skyscraper;
    fireplace, hearth, open fireplace; refrigerator, icebox; grandstand, covered stand; path;
    stairs, steps; runway; case, display case, showcase, vitrine;
    pool table, billiard table, snooker table; pillow; screen door, screen; stairway, staircase;
    river; bridge, span; bookcase; blind, screen; coffee table, cocktail table;
    toilet, can, commode, crapper, pot, potty, stool, throne; flower; book; hill; bench; countertop;
    stove, kitchen stove, range, kitchen range, cooking stove; palm, palm tree; kitchen island;
    computer, computing machine, computing device, data processor, electronic computer,
    information processing system; swivel chair; boat; bar; arcade machine;
    hovel, hut, hutch, shack, shanty; bus, autobus, coach, charabanc, double-decker, jitney,
    motorbus, motorcoach, omnibus, passenger vehicle; towel; light, light source;
    truck, motortruck; tower; chandelier, pendant, pendent; awning, sunshade, sunblind;
    streetlight, street lamp; booth, cubicle, stall, kiosk; television receiver, television,
    television set, tv, tv set, idiot box, boob tube, telly, goggle box;
    airplane, aeroplane, plane; dirt track; apparel, wearing apparel, dress, clothes; pole;
    land, ground, soil; bannister, banister, balustrade, balusters, handrail;
    escalator, moving staircase, moving stairway; ottoman, pouf, pouffe, puff, hassock; bottle;
    buffet, counter, sideboard; poster, posting, placard, notice, bill, card; stage; van; ship;
    fountain; conveyer belt, conveyor belt, conveyer, conveyor, transporter; canopy;
    washer, automatic washer, washing machine; plaything, toy;
    swimming pool, swimming bath, natatorium; stool; barrel, cask; basket, handbasket;
    waterfall, falls; tent, collapsible shelter; bag; minibike, motorbike; cradle; oven; ball;
    food, solid food; step, stair; tank, storage tank; trade name, brand name, brand, marque;
    microwave, microwave oven; pot, flowerpot;
    animal, animate being, beast, brute, creature, fauna; bicycle, bike, wheel, cycle; lake;
    dishwasher, dish washer, dishwashing machine; screen, silver screen, projection screen;
    blanket, cover; sculpture; hood, exhaust hood; sconce; vase;
    traffic light, traffic signal, stoplight; tray; ashcan, trash can, garbage can, wastebin,
    ash bin, ash-bin, ashbin, dustbin, trash barrel, trash bin; fan; pier, wharf, wharfage, dock;
    crt screen; plate; monitor, monitoring device; bulletin board, notice board; shower; radiator;
    glass, drinking glass; clock; flag
    """,
    ";",
)
"""ADE20K's 150 scene parsing classes with their synonyms, ids 1 to 150: the column Name of
`objectInfo150.txt` (CSAILVision/sceneparsing). That repository's file, at commit 4ce20bd, puts
`television` before `television receiver`; the order here is that of the copies that users of the
release keep, and of mmsegmentation's names."""

ADE = tuple(names.split(", ")[0] for names in ADE_SYNONYMS)
"""The first of each class's synonyms."""

ADE847_SYNONYMS = _numbered("ade847.txt")
"""The 847 classes of ADE20K's full release of 2021 with their synonyms, by the release's number of an
object, in the order of the label maps that MaskFormer made popular
(`prepare_ade20k_full_sem_seg.py` of facebookresearch/MaskFormer, commit f2d27b2; CAT-Seg's
`ade847.json` has the same)."""

ADE847 = _told_apart(tuple(ADE847_SYNONYMS.values()))
"""The first of each class's synonyms. 19 classes share that with another (three begin with `bag`): they
have all of theirs, so that `patio` and `patio, terrace` are two classes as they are there."""

CITYSCAPES = _listed("""
    road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain,
    sky, person, rider, car, truck, bus, train, motorcycle, bicycle
""")
"""Cityscapes' 19 scored classes, in order of trainId (`cityscapesscripts/helpers/labels.py` of
mcordts/cityscapesScripts, commit 4b83263)."""
