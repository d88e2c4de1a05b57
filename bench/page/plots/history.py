"""The plot of the past: a case's FPS and Dice over time, with what was accepted."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.ticker import FuncFormatter

from bench.page.plots.canvas import INK, MUTED, PAPER, SERIES, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.page.parts import CaseHistory
    from bench.page.plots.canvas import Canvas

_LEAST_DICE = 0.001


def history_plot(found: CaseHistory, name: str) -> str:
    """Return FPS above and Dice below, a dot for each run; a line and a diamond mark what was accepted."""

    def paint(canvas: Canvas) -> None:
        upper, lower = canvas.figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        times = [_when(point.when) for point in found.points]
        for axes, values, form, label in (
            (upper, [point.fps for point in found.points], ".1f", "FPS"),
            (lower, [point.dice for point in found.points], ".5f", "Dice/FP32"),
        ):
            axes.plot(times, values, color=SERIES[0], linewidth=1.2)
            for point, time, value in zip(found.points, times, values, strict=True):
                (dot,) = axes.plot(time, value, marker="o", color=SERIES[0], markeredgecolor=PAPER, clip_on=False)
                canvas.tip(dot, f"{point.file}, {point.when}: {value:{form}} {label}")
            _accepted(canvas, axes, found, label)
            axes.set_ylabel(label)
            axes.margins(x=0.05, y=0.2)
        upper.set_ylim(bottom=0)
        low, high = lower.get_ylim()
        # Rounding alone is not to look like a change.
        reach = max(high - low, _LEAST_DICE) / 2
        lower.set_ylim((low + high) / 2 - reach, (low + high) / 2 + reach)
        lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.5g}"))
        locator = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
        lower.xaxis.set_major_locator(locator)
        lower.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]

    return draw(name, f"FPS and Dice of {found.case} over time", (6.4, 3.2), paint)


def _accepted(canvas: Canvas, axes: Axes, found: CaseHistory, label: str) -> None:
    for each in found.accepted:
        time = _when(each.when)
        axes.axvline(time, color=MUTED, linestyle=":", linewidth=1)
        value = each.fps if label == "FPS" else each.dice
        (mark,) = axes.plot(time, value, marker="D", markersize=8, color=INK, markerfacecolor=PAPER)
        canvas.tip(mark, f"{each.kind}, {each.when[:10]}, accepted by {each.who}: {each.why}; {value:.5g} {label}")


def _when(text: str) -> float:
    """Return a time in ISO 8601 as a place on the axis."""
    return float(date2num(datetime.fromisoformat(text)))  # type: ignore[no-untyped-call]
