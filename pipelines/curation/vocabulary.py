"""What a corpus holds, by the names of a vocabulary: how many images of each, before and after; and no more of each.

An image has one name, the one that its embedding is most like. `vocabulary.csv` has a line for each name, the
most frequent first: the name, the images of that name that can be read, and those of them that stay.
"""

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from pipelines.curation.facts import Facts
from pipelines.curation.steps import Verdict, Verdicts
from pipelines.curation.words import most_like

TABLE, CHART = "vocabulary.csv", "vocabulary.png"
SHOWN = 40
"""Names in the chart's bars."""
BEFORE, AFTER = "#c3cdd8", "#1f5f99"


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The names of a list, and their texts."""

    names: tuple[str, ...]
    rows: Float[ndarray, "name embed"]

    def counted(self, facts: Facts) -> "Counted":
        """The name of every image that can be read and has an embedding."""
        usable = np.flatnonzero((facts.pixels > 0) & facts.embedded)
        cosines = np.zeros(len(facts), np.float32)
        which = np.full(len(facts), -1, np.int32)
        cosines[usable], which[usable] = most_like(facts, usable, self.rows)
        return Counted(names=self.names, which=which, cosines=cosines)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The images of a set by their names."""

    names: tuple[str, ...]
    which: Int[ndarray, " sample"]
    """Number of each image's name; -1 for none."""
    cosines: Float[ndarray, " sample"]
    """With that name."""

    def too_many(
        self, facts: Facts, left: Bool[ndarray, " sample"], at_most: int, seed: int
    ) -> Verdicts:
        """Images of names of which there are more than `at_most`: as many stay, drawn by the seed.

        They are drawn, and not those most like the name, which are more like each other
        (docs/curation.md).
        """
        chosen = np.random.default_rng(seed).permutation(np.flatnonzero(left))
        chosen = chosen[np.argsort(self.which[chosen], kind="stable")]
        _, starts, sizes = np.unique(self.which[chosen], return_index=True, return_counts=True)
        place = np.arange(len(chosen)) - np.repeat(starts, sizes)
        return {
            int(number): Verdict("too many of a name", cosine=round(float(self.cosines[number]), 4))
            for number in np.sort(chosen[place >= at_most])
        }

    def files(self, gone: Collection[int]) -> dict[str, bytes]:
        """The table and the chart, by name, once it is known which images go."""
        stays = self.which >= 0
        before = np.bincount(self.which[stays], minlength=len(self.names))
        stays[list(gone)] = False
        after = np.bincount(self.which[stays], minlength=len(self.names))
        counts = zip(self.names, before.tolist(), after.tolist(), strict=True)
        lines = sorted(counts, key=lambda line: (-line[1], line[0]))
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("name", "before", "after"))
        table.writerows(lines)
        return {TABLE: text.getvalue().encode(), CHART: chart(lines)}


def digest(names: tuple[str, ...]) -> str:
    """Of a list of names, by which two lists are told apart."""
    return sha256("\n".join(names).encode()).hexdigest()[:16]


def chart(lines: list[tuple[str, int, int]]) -> bytes:
    """A PNG: the most frequent names as bars, and all names as a curve; name, before, after of each."""
    shown = lines[:SHOWN]
    # What a name holds is text, and no formula.
    with matplotlib.rc_context({"font.size": 9, "text.parse_math": False}):
        figure = Figure(figsize=(10, 1.4 + 0.19 * max(len(shown), 14)), layout="constrained")
        bars, curve = figure.subplots(1, 2)
        _draw_bars(bars, shown, len(lines))
        _draw_curve(curve, lines)
        for axes in (bars, curve):
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def _draw_bars(axes: Axes, shown: list[tuple[str, int, int]], names: int) -> None:
    places = range(len(shown))
    axes.barh(places, [line[1] for line in shown], color=BEFORE, label="before")
    axes.barh(places, [line[2] for line in shown], color=AFTER, height=0.4, label="after")
    labels = [name if len(name) <= 32 else f"{name[:31]}…" for name, _, _ in shown]
    axes.set_yticks(places, labels)
    axes.set(ylim=(len(shown) - 0.4, -0.6), xlabel="images")
    axes.set_title(f"the {len(shown)} most frequent of {names} names", fontsize=10)


def _draw_curve(axes: Axes, lines: list[tuple[str, int, int]]) -> None:
    ranks = np.arange(1, len(lines) + 1)
    for column, colour, label in ((1, BEFORE, "before"), (2, AFTER, "after")):
        counts = sorted((line[column] for line in lines), reverse=True)
        axes.step(ranks, counts, where="mid", color=colour, linewidth=2, label=label)
    none = sum(line[1] == 0 for line in lines)
    axes.set(xlabel="names, the most frequent first", ylabel="images of a name")
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    for axis in (axes.xaxis, axes.yaxis):  # powers of ten would be formulas
        axis.set_major_formatter("{x:.0f}")
        axis.set_minor_formatter("")
    axes.set_title(f"all {len(lines)} names, {none} of them without an image", fontsize=10)
