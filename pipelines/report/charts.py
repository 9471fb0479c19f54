"""Charts as inline SVG, in the colours and letters of the page that they stand in."""

import html
import io
import re
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator

from zeroseg.evaluation.scores import ThresholdCurve

INK, RULE, ACCENT, MARK = "#010101", "#010102", "#010103", "#010104"
SERIES = tuple(f"#0102{number:02x}" for number in range(1, 8))
"""Stand-ins: matplotlib knows colours by number alone, the page has names for them."""
NAMES = {INK: "currentColor", RULE: "var(--rule)", ACCENT: "var(--accent)", MARK: "var(--mark)"} | {
    colour: f"var(--series-{place})" for place, colour in enumerate(SERIES, start=1)
}
STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and set anew
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=SERIES),
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def chart(label: str, draw: Callable[[Axes], None], size: tuple[float, float] = (4.6, 2.9)) -> str:
    """What `draw` makes of empty axes, as SVG that a screen reader calls `label`; size in inches.

    Labels differ on a page: the ids inside the SVG come from them.
    """
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": label}):
        figure = Figure(figsize=size)
        draw(figure.add_axes((0.13, 0.17, 0.83, 0.8)))
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = "".join(buffer.getvalue().partition("<svg")[1:])
    # Ids of groups repeat from chart to chart, and this style would hold for the whole page.
    svg = re.sub(r'<g id="[^"]*"', "<g", re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL))
    svg = re.sub("|".join(NAMES), lambda found: NAMES[found[0]], svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)


def threshold_chart(of: str, curve: ThresholdCurve, in_use: float | None, score: float) -> str:
    """Mean IoU over background thresholds: its maximum and the one in use; shares in, percent out."""

    def draw(axes: Axes) -> None:
        values = [100 * value for value in curve.miou]
        axes.fill_between(curve.thresholds, values, color=ACCENT, alpha=0.15, linewidth=0)
        axes.plot(curve.thresholds, values, color=ACCENT)
        axes.plot(
            curve.maximum.threshold, 100 * curve.maximum.miou, "o", color=MARK, label="maximum"
        )
        if in_use is not None:
            axes.axvline(in_use, color=INK, linewidth=1, linestyle="--", label="in use")
            axes.plot(in_use, 100 * score, "D", color=INK, markersize=5)
        axes.set(xlabel="background threshold", ylabel="mIoU, %", ylim=(0, None))
        axes.legend()

    return chart(f"mean IoU over background thresholds: {of}", draw)


def distribution(of: str, values: Sequence[float]) -> str:
    """How many images have which mean IoU; shares in, percent out."""

    def draw(axes: Axes) -> None:
        percent = 100 * np.array(values)
        axes.hist(percent, bins=list(range(0, 101, 5)), color=ACCENT, alpha=0.7)
        axes.axvline(float(np.median(percent)), color=MARK, linestyle="--", label="median")
        axes.set(xlabel="mIoU of an image, %", ylabel="images", xlim=(0, 100))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()

    return chart(f"images by their mean IoU: {of}", draw)
