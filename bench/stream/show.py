"""What a person sees of streams: a bar while one runs, and the closing tables."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.stream.laps import STAGES
from bench.timing import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
    """Return the stages' milliseconds per image, of each stream and of its plain loop."""
    table = plain_table("where the time goes: ms per image of the consuming thread")
    table.add_column("case")
    for stage in (*STAGES, "sum"):
        table.add_column(stage.replace("_", " "), justify="right")
    for row in rows:
        for name, part, count in ((row["case"], row, row["done"]), ("  plain loop", row["plain"], None)):
            if part is not None:
                values = [1e3 * part["stages_s"][stage] / max(1, count or part["samples"]) for stage in STAGES]
                table.add_row(name, *(f"{value:.2f}" for value in (*values, sum(values))))
    return table


def remarks(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return what is worth knowing in words: bad images, and streams that wait for their images."""
    lines = []
    for row in rows:
        if row["bad_images"]:
            first = row["bad_images"][0]
            lines.append(f"{row['case']}: {len(row['bad_images'])} bad images left out, the first: {first['reason']}")
        waited = row["stages_s"]["wait"] / row["runtime_s"] if row["runtime_s"] else 0.0
        if waited > 0.1:  # noqa: PLR2004 - a tenth of the time is worth a line
            lines.append(f"{row['case']}: {waited:.0%} of the time went by waiting for images: decoding is the limit")
    return lines
