"""What a person sees of streams: a bar while one runs, and the closing tables."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.stream.laps import STAGES
from bench.stream.reading import keeps_up, limit, reading
from bench.timing import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console

_REFRESH_S = 0.5
"""Drawing takes milliseconds of the consuming thread: seldom enough not to show in the FPS."""


@contextmanager
def progress(console: Console, text: str, samples: int) -> Iterator[Callable[[int], None]]:
    """Show a bar with FPS and time left on a terminal, nothing elsewhere; yield what to tell the masks done."""
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]:.1f} FPS,"),
        TimeRemainingColumn(),
    )
    # No thread of its own, which would take the core from the engine at any time.
    with Progress(*columns, console=console, auto_refresh=False) as bar:
        task = bar.add_task(text, total=samples, fps=0.0)
        watch, drawn_s = Stopwatch(), 0.0

        def tick(done: int) -> None:
            nonlocal drawn_s
            now_s = watch.elapsed_s
            if now_s - drawn_s >= _REFRESH_S or done == samples:
                drawn_s = now_s
                bar.update(task, completed=done, fps=done / now_s, refresh=True)

        yield tick


def plain_table(title: str) -> Table:
    """Return an empty table without lines, which leaves 100 columns to the figures."""
    return Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)


def throughput_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return one line per stream: samples, runtime, FPS, its share of the engine's, latency, cold start, plain loop."""
    table = plain_table("streams: images in, masks out")
    for name in ("case", "samples", "runtime s", "FPS", "of engine", "p50 ms", "p99 ms", "cold s", "plain FPS"):
        table.add_column(name, justify="left" if name == "case" else "right")
    for row in rows:
        latency = row["latency_ms"]
        table.add_row(
            row["case"],
            f"{row['done']}{' (partial)' if row['partial'] else ''}",
            f"{row['runtime_s']:.2f}",
            f"{row['fps']:.1f}",
            f"{row['share_of_engine']:.1%}",
            "-" if latency is None else f"{latency['p50']:.1f}",
            "-" if latency is None else f"{latency['p99']:.1f}",
            f"{sum(row['cold_start_s'].values()):.2f}",
            "-" if row["plain"] is None else f"{row['plain']['fps']:.1f}",
        )
    return table


def stage_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the stages' milliseconds per image: of each stream, of one of its workers, and of its plain loop."""
    table = plain_table("where the time goes: ms per image of the consuming thread, and of each worker beside it")
    table.add_column("case")
    for stage in (*STAGES, "sum"):
        table.add_column(stage.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(row["case"], *_ms(_per_image(row["stages_s"], row["done"])))
        read = reading(row)
        if read is not None:
            table.add_row(f"  each of {read.workers} workers", *_ms(read.stages_ms))
        if row["plain"] is not None:
            table.add_row("  plain loop", *_ms(_per_image(row["plain"]["stages_s"], row["plain"]["samples"])))
    return table


def remarks(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return what is worth knowing in words: bad images, streams that wait for theirs, and how fast files were read."""
    lines = []
    for row in rows:
        if row["bad_images"]:
            first = row["bad_images"][0]
            lines.append(f"{row['case']}: {len(row['bad_images'])} bad images left out, the first: {first['reason']}")
        lines += [line for line in (limit(row), keeps_up(row)) if line]
    return lines


def _per_image(stages_s: Mapping[str, float], count: int) -> dict[str, float]:
    return {stage: 1e3 * seconds / max(1, count) for stage, seconds in stages_s.items()}


def _ms(stages_ms: Mapping[str, float]) -> list[str]:
    values = [stages_ms.get(stage, 0.0) for stage in STAGES]
    return [f"{value:.2f}" for value in (*values, sum(values))]
