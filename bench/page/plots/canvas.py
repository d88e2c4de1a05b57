"""How every plot is drawn: one look, and SVG whose colours are the page's own, light or dark."""

from __future__ import annotations

import html
import io
import math
import re
import warnings
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.case import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#fefefe"
SERIES = ("#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005", "#0a0006", "#0a0007", "#0a0008")
"""Stand-ins that become the page's variables `--ink`, `--muted`, `--grid`, `--paper` and `--c0` to `--c7`."""
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"} | {
    colour: f"c{index}" for index, colour in enumerate(SERIES)
}
MARKERS = dict(zip(PRECISIONS, "oPsDv<>X", strict=True))
"""A marker for each precision, which tells it without colour."""
_LOOK: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
_NINES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0)
_FINEST = 1e-5


class Canvas:
    """A figure, and the tips that its artists show under the pointer."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height), layout="constrained")
        self.tips: list[str] = []

    def tip(self, artist: Artist, text: str) -> None:
        """Show a text where the pointer is on an artist."""
        artist.set_gid(f"tip-{len(self.tips)}")
        self.tips.append(text)


def draw(name: str, label: str, size: tuple[float, float], paint: Callable[[Canvas], None]) -> str:
    """Return a plot as an `svg` element: `name` keeps its ids apart from other plots', `label` tells what it shows.

    `size` is in inches of 72 units.
    """
    with mpl.rc_context(_LOOK | {"svg.hashsalt": name}), warnings.catch_warnings():
        # The browser's fonts have the glyphs that the measuring one lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas = Canvas(*size)
        paint(canvas)
        written = io.StringIO()
        canvas.figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _embedded(written.getvalue(), name, label, canvas.tips)


def nines(dice: float) -> float:
    """Return the place of a Dice on an axis where 0.9, 0.99 and 0.999 are equally far apart, and 1 is 5."""
    return -math.log10(max(1 - dice, _FINEST))


def nines_axis(axes: Axes, values: Iterable[float]) -> None:
    """Label the x axis, of `nines`, with Dice, from the lowest of some values to 1."""
    low = min((nines(value) for value in values), default=0.0)
    ticks = [value for value in _NINES if nines(value) >= low - 0.7]
    axes.xaxis.set_ticks([nines(value) for value in ticks], [f"{value:g}" for value in ticks])
    axes.set_xlim(max(-0.1, low - 0.35), 5.2)


def colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each name, the same for the same names."""
    return {name: SERIES[index % len(SERIES)] for index, name in enumerate(sorted(set(names)))}


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, its middle left out."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[-half:]}"


def _embedded(svg: str, name: str, label: str, tips: list[str]) -> str:
    """Return the element alone, its ids made its own and its colours the page's."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    view = re.search(r'viewBox="([^"]+)"', body)
    inner = body[body.index(">") + 1 :]
    inner = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', inner)
    inner = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', inner)
    inner = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", inner)
    inner = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", inner)
    for stand_in, variable in _VARIABLES.items():
        inner = inner.replace(stand_in, f"var(--{variable})")
    for number, text in enumerate(tips):
        mark = f'<g id="{name}-tip-{number}">'
        inner = inner.replace(mark, f"{mark}<title>{html.escape(text)}</title>", 1)
    box = view[1] if view else "0 0 1 1"
    return f'<svg class="plot" role="img" aria-label="{html.escape(label)}" viewBox="{box}">{inner}'
