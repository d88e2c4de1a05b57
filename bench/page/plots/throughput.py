"""Plots of throughput: batch sizes against the ceilings, the stages of streams, and the costliest layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.case import parse_case
from bench.page.plots.canvas import MARKERS, MUTED, PAPER, SERIES, colours, draw, shortened
from bench.page.plots.front import fps_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.page.parts import LayersFacts, Scaling, StreamFacts
    from bench.page.plots.canvas import Canvas

_ROW = 0.34
"""Inches of height of a bar."""
_MOST_STREAMS = 40
_LONG = 46


def scaling_plot(found: Scaling, name: str, *, titled: bool = False) -> str:
    """Return FPS over batch sizes, a line for each backend and precision, with the ceiling of each number format."""
    backends = colours(line.partition("-")[0] for line, _ in found.lines)

    def paint(canvas: Canvas) -> None:
        axes = canvas.figure.subplots()
        values = []
        for line, points in found.lines:
            backend, _, precision = line.partition("-")
            sizes, speeds = [point.batch_size for point in points], [point.fps for point in points]
            values += speeds
            (drawn,) = axes.plot(
                sizes, speeds, marker=MARKERS.get(precision, "o"), color=backends[backend], markersize=6,
                markeredgecolor=PAPER, markeredgewidth=0.6, linewidth=1.6, label=line,
            )  # fmt: skip
            canvas.tip(
                drawn, f"{line}: {', '.join(f'b{size} {fps:.1f} FPS' for size, fps in zip(sizes, speeds, strict=True))}"
            )
        values += _ceilings(axes, found)
        fps_axis(axes, values)
        _batch_axis(axes, sorted({point.batch_size for _, points in found.lines for point in points}))
        axes.set_ylabel("images per second")
        if titled:
            axes.set_title(found.source, loc="left", fontsize=11)
        canvas.figure.legend(loc="outside right upper")

    return draw(name, f"Images per second over batch size ({found.source})", (9, 4.2), paint)


def stages_plot(streams: tuple[StreamFacts, ...], name: str) -> str:
    """Return where the time of each stream goes, as a share of it."""
    shown = streams[:_MOST_STREAMS]

    def paint(canvas: Canvas) -> None:
        axes = canvas.figure.subplots()
        ends = [0.0] * len(shown)
        for index, stage in enumerate(stage for stage, _ in shown[0].stages_ms):
            shares = [100 * dict(each.stages_ms)[stage] / sum(ms for _, ms in each.stages_ms) for each in shown]
            bars = axes.barh(
                range(len(shown)), shares, left=ends, height=0.7, color=SERIES[index], label=stage.replace("_", " ")
            )
            for bar, each, share in zip(bars, shown, shares, strict=True):
                canvas.tip(
                    bar, f"{each.case}, {stage.replace('_', ' ')}: {dict(each.stages_ms)[stage]:.3f} ms, {share:.1f} %"
                )
            ends = [end + share for end, share in zip(ends, shares, strict=True)]
        axes.set_yticks(range(len(shown)), [each.case for each in shown])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 100)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
        canvas.figure.legend(loc="outside lower center", ncols=4)

    return draw(name, "Share of each stream's time by stage", (9, 1.2 + _ROW * len(shown)), paint) if shown else ""


def layers_plot(found: LayersFacts, name: str) -> str:
    """Return the costliest layers of one case as bars of milliseconds."""

    def paint(canvas: Canvas) -> None:
        axes = canvas.figure.subplots()
        bars = axes.barh(range(len(found.layers)), [layer.ms for layer in found.layers], height=0.7, color=SERIES[0])
        for bar, layer in zip(bars, found.layers, strict=True):
            canvas.tip(bar, f"{layer.name}: {layer.ms:.3f} ms, {layer.share:.1%} of all layers")
        axes.bar_label(bars, [f"{layer.share:.0%}" for layer in found.layers], padding=4, color=MUTED)
        names = [shortened(layer.name, _LONG) for layer in found.layers]
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.1)
        axes.set_xlabel("milliseconds of one inference")

    return draw(name, f"Costliest layers of {found.case}", (9, 0.9 + _ROW * len(found.layers)), paint)


def _ceilings(axes: Axes, found: Scaling) -> list[float]:
    """Draw the ceiling of each number format as a dotted line, and return its values."""
    by_format: dict[str, dict[int, float]] = {}
    for line, points in found.lines:
        for point in points:
            if point.ceiling_fps is not None:
                form = parse_case(f"{line}-b{point.batch_size}").arithmetic
                by_format.setdefault(form, {})[point.batch_size] = point.ceiling_fps
    for form, ceiling in by_format.items():
        sizes = sorted(ceiling)
        axes.plot(
            sizes, [ceiling[size] for size in sizes], color=MUTED, linestyle=":", linewidth=1.8,
            marker=MARKERS[form], markersize=6, markerfacecolor="none", label=f"ceiling of {form}",
        )  # fmt: skip
    return [value for ceiling in by_format.values() for value in ceiling.values()]


def _batch_axis(axes: Axes, sizes: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.set_xlabel("batch size")
