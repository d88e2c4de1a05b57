"""The plot of accuracy: Dice of every image, by backend and precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.page.plots.canvas import INK, MARKERS, colours, draw, nines, nines_axis

if TYPE_CHECKING:
    from bench.page.parts import Spread
    from bench.page.plots.canvas import Canvas

_MOST_DOTS = 64
"""Images of a case that are drawn one by one; of more, only the lowest are."""
_ROW = 0.36


def spread_plot(spreads: tuple[Spread, ...], name: str) -> str:
    """Return a row of dots for each backend and precision, one dot an image, with a line from tenth to median."""
    if not spreads:
        return ""
    colour = colours(each.backend for each in spreads)

    def paint(canvas: Canvas) -> None:
        axes = canvas.figure.subplots()
        for row, each in enumerate(spreads):
            lowest = np.argsort(each.dice, kind="stable")[:_MOST_DOTS]
            # Dots at one place are set apart, alike in every run.
            shifts = (np.arange(len(lowest)) * 0.618 % 1 - 0.5) * 0.55
            places = [nines(each.dice[index]) for index in lowest]
            dots = axes.scatter(
                places, row + shifts, s=26, marker=MARKERS[each.precision], color=colour[each.backend], alpha=0.75,
                linewidths=0, clip_on=False,
            )  # fmt: skip
            canvas.tip(dots, f"{each.case}: worst {each.worst:.4f} ({each.names[lowest[0]]}), median {each.median:.4f}")
            axes.plot([nines(each.median)] * 2, [row - 0.36, row + 0.36], color=INK, linewidth=2)
        axes.set_yticks(range(len(spreads)), [each.case for each in spreads])
        axes.set_ylim(len(spreads) - 0.4, -0.6)
        nines_axis(axes, [each.worst for each in spreads])
        axes.set_xlabel("Dice of an image against its FP32 mask; the bar is the median")

    return draw(name, "Dice of every image by backend and precision", (9, 1 + _ROW * len(spreads)), paint)
