"""The plot that a precision is chosen by: images per second against Dice, with the Pareto front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from bench.page.plots.canvas import INK, MARKERS, MUTED, PAPER, colours, draw, nines, nines_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.page.plots.canvas import Canvas
    from bench.page.values import CaseFacts, RunFacts

_MOST_NAMES = 6
_MOST_EDGED = 60
"""Points that lie closer are drawn without an edge, which would hide those below."""
_LINE = 1.12
"""Speeds that differ by less have their names on the same line."""
_EDGE = 3.5
"""From here on, in nines of Dice, a name does not fit to the right of its point."""


def front_plot(run: RunFacts, name: str) -> str:
    """Return FPS against Dice of all cases, the front joined, the recommended case ringed; nothing without cases."""
    if not run.cases:
        return ""

    def paint(canvas: Canvas) -> None:
        axes = canvas.figure.subplots()
        _points(canvas, axes, run)
        axes.set_xlabel("mean Dice against the FP32 masks")
        axes.set_ylabel("images per second")
        nines_axis(axes, [case.dice for case in run.cases])
        fps_axis(axes, [case.fps for case in run.cases])
        _legend(canvas, axes, run)

    return draw(name, "Images per second against Dice, one point for each case", (9, 4.6), paint)


def fps_axis(axes: Axes, values: list[float]) -> None:
    """Make the vertical axis one of images per second, where equal distances are equal factors."""
    axes.set_yscale("log")
    low, high = min(values), max(values)
    axes.set_ylim(low / 1.25, high * 1.35)
    ticks = [
        step * 10.0**power
        for power in range(-4, 7)
        for step in (1, 2, 5)
        if low / 1.25 <= step * 10.0**power <= high * 1.35
    ]
    if len(ticks) > 1:
        axes.yaxis.set_ticks(ticks)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _points(canvas: Canvas, axes: Axes, run: RunFacts) -> None:
    colour = colours(case.backend for case in run.cases)
    front = sorted((case for case in run.cases if case.front), key=lambda case: case.dice)
    axes.plot(
        [nines(case.dice) for case in front], [case.fps for case in front], color=MUTED, linestyle="--", linewidth=1.2
    )  # fmt: skip
    edge = 0.8 if len(run.cases) <= _MOST_EDGED else 0.0
    for case in run.cases:
        (point,) = axes.plot(
            nines(case.dice), case.fps, marker=MARKERS[case.precision], markersize=8, color=colour[case.backend],
            markeredgecolor=PAPER, markeredgewidth=edge, linestyle="none", clip_on=False,
        )  # fmt: skip
        canvas.tip(point, f"{case.case}: {case.fps:.1f} FPS, Dice {case.dice:.5f}, worst image {case.dice_worst:.4f}")
    named = _apart(front) if len(front) <= _MOST_NAMES else []
    for case in run.cases:
        if case.case == run.recommended:
            axes.plot(
                nines(case.dice), case.fps, marker="o", markersize=17, markerfacecolor="none", markeredgecolor=INK,
                markeredgewidth=1.6, linestyle="none", clip_on=False,
            )  # fmt: skip
            named = [*(other for other in named if other is not case), case]
    for case in named:
        _name(axes, case, recommended=case.case == run.recommended)


def _apart(front: list[CaseFacts]) -> list[CaseFacts]:
    """Return the cases whose names do not run into the name of a faster one."""
    kept: list[CaseFacts] = []
    for case in sorted(front, key=lambda case: -case.fps):
        if not any(_near(case, other) for other in kept):
            kept.append(case)
    return kept


def _near(case: CaseFacts, other: CaseFacts) -> bool:
    return case.fps * _LINE > other.fps and abs(nines(case.dice) - nines(other.dice)) < 1


def _name(axes: Axes, case: CaseFacts, *, recommended: bool) -> None:
    """Write a case beside its point: above and to the right, where the front leaves room, or below at the edge."""
    left = nines(case.dice) > _EDGE
    axes.annotate(
        f"{case.case}{' (recommended)' if recommended else ''}",
        (nines(case.dice), case.fps),
        xytext=(-13, -14) if left else (13, 7),
        textcoords="offset points",
        horizontalalignment="right" if left else "left",
        fontsize=9,
        fontweight="bold" if recommended else "normal",
    )


def _legend(canvas: Canvas, axes: Axes, run: RunFacts) -> None:
    colour = colours(case.backend for case in run.cases)
    precisions = [name for name in MARKERS if any(case.precision == name for case in run.cases)]
    handles = [Line2D([], [], marker="o", linestyle="none", color=shade, label=name) for name, shade in colour.items()]
    handles += [
        Line2D([], [], marker=MARKERS[name], linestyle="none", color=MUTED, label=name) for name in precisions
    ]  # fmt: skip
    handles.append(Line2D([], [], color=MUTED, linestyle="--", label="Pareto front"))
    canvas.figure.legend(handles=handles, loc="outside right upper")
    axes.margins(0.05)
