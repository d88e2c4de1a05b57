"""The closing table for a person: a line per case, and plain words where something is worth knowing."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from bench.limits import DICE
from bench.status import BAD, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.gate import Verdict
    from bench.results import Row, Run

WIDTH = 100
"""Columns of what is printed at the end of a session."""
_MIB = 2**20
_MEMORY = re.compile(r"out of memory at batch \d+ \([^)]*\)")
_INITIAL = "initial weights of "
"""How the origin of weights begins that no file was named for: `models.network.load_network` says it of factories."""
_STYLES = {
    **dict.fromkeys(BAD, "bold red"),
    Status.PASS: "green",
    Status.IMPROVED: "green",
    Status.INCONCLUSIVE: "yellow",
    Status.NOT_COMPARABLE: "yellow",
}


def hanging(line: str) -> str:
    """Return a remark as a list item of at most `WIDTH` columns, paths and case names unbroken."""
    return textwrap.fill(f"- {line}", WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


def table(run: Run, verdicts: dict[str, Verdict]) -> Table:
    """Return the table of a run, batch by batch from slow to fast, and at its end the cases that failed."""
    found = Table(title=heading(run), title_justify="left", header_style="bold", box=None, pad_edge=False)
    found.add_column("case", no_wrap=True)
    for name in ("FPS", "speed-up", "Dice/FP32", "worst", "Dice/truth", "MiB"):
        found.add_column(name, justify="right", no_wrap=True)
    found.add_column("verdict")
    batch = 0
    for row in ordered(run):
        if batch and row.batch_size != batch:
            found.add_row()
        batch = row.batch_size
        found.add_row(*cells(row), _verdict(verdicts.get(row.case)))
    lost = [case for case in run.failed if case not in run.rows]
    if lost:
        found.add_row()
    for case in lost:
        found.add_row(case, *["-"] * 6, _short_cause(run.failed[case]))
    return found


def _short_cause(reason: str) -> str:
    """Return what ended a case: the memory it lacks, or that it failed; the whole reason stands under the table."""
    memory = _MEMORY.search(reason)
    return memory[0] if memory else "FAILED"


def heading(run: Run) -> str:
    """Return what was measured: model, images, machine."""
    machine = run.suite["machine"]
    place = machine["gpu"] or f"{machine['cpu']}, {machine['cores']} threads"
    return f"{subject(run)}, {place}"


def subject(run: Run) -> str:
    """Return what was measured without where: model and images."""
    model, images = run.suite["model"], run.suite["images"]
    height, width = images["size"]
    untrained = " with its initial weights" if str(model.get("weights")).startswith(_INITIAL) else ""
    return f"{model['name']}{untrained} on {images['count']} images ({images['origin']}, {height}x{width})"


def ordered(run: Run) -> list[Row]:
    """Return the rows by batch size, then from slow to fast within each."""
    return sorted(run.rows.values(), key=lambda row: (row.batch_size, row.fps))


def cells(row: Row) -> list[str]:
    """Return a row's figures as the table shows them."""
    info = row.info
    truth = info["dice_truth"]
    memory = info["peak_memory_bytes"]
    return [
        row.case,
        f"{row.fps:.1f}" if row.fps < 1000 else f"{row.fps:.0f}",  # noqa: PLR2004 - four digits are enough
        f"{info['speedup']:.2f}x" if info["speedup"] else "-",
        f"{info['dice_fp32']['mean']:.5f}",
        f"{info['dice_fp32']['worst']:.4f}",
        f"{truth['mean']:.4f}" if truth else "-",
        f"{memory / _MIB:.0f}" if memory is not None else "-",
    ]


def remarks(run: Run) -> list[str]:
    """Return sentences on what a reader should know before trusting or choosing a row."""
    found = _empty(run)
    for row in run.rows.values():
        floor = DICE[row.precision].floor
        if row.info["dice_fp32"]["mean"] < floor:
            found.append(
                f"{row.case}: Dice against FP32 {row.info['dice_fp32']['mean']:.4f} is below its floor {floor:.4f}"
            )
    note = run.suite["calibration"].get("note")
    if note and any(row.precision.startswith("int8") for row in run.rows.values()):
        found.append(note)
    found += [f"skipped {', '.join(cases)}: {reason}" for reason, cases in _skipped(run).items()]
    return found


def _empty(run: Run) -> list[str]:
    """Return that no engine's Dice says anything, where no FP32 mask holds more than one class."""
    held = [{label for label, count in enumerate(mask) if count} for mask in run.suite.get("fp32_pixels") or ()]
    if not run.rows or not held or any(len(classes) > 1 for classes in held):
        return []
    classes = set.union(*held)
    what = "no target in any image"
    if classes != {0}:
        what = "one class alone in each image" if 0 in classes else "nothing else than target in any image"
    return [f"the FP32 masks hold {what}: Dice says nothing; are weights and input scale right?"]


def evidence(verdicts: Iterable[Verdict]) -> list[str]:
    """Return the evidence of verdicts in sentences, once for all cases of which the same is said."""
    cases: dict[tuple[str, str], list[str]] = {}
    for verdict in verdicts:
        cases.setdefault((verdict.status.value, verdict.evidence), []).append(verdict.case)
    return [f"{status} {', '.join(names)}: {said}" for (status, said), names in cases.items()]


def _skipped(run: Run) -> dict[str, list[str]]:
    """Return what was skipped, by the reason; one name for a backend and precision at every batch size asked for."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for case, reason in run.skipped.items():
        line, size = case.rpartition("-b")[::2] if "-" in case else (case, "")
        by_reason.setdefault(reason.removeprefix(f"{case}: "), {}).setdefault(line, []).append(size)
    asked = {str(size) for size in run.suite["asked"]["batch_sizes"]}
    found: dict[str, list[str]] = {}
    for reason, lines in by_reason.items():
        found[reason] = []
        for line, sizes in lines.items():
            found[reason] += [line] if set(sizes) in (asked, {""}) else [f"{line}-b{size}" for size in sizes]
    return found


def _verdict(verdict: Verdict | None) -> Text:
    if verdict is None:
        return Text("-")
    return Text(verdict.status.value, style=_STYLES.get(verdict.status, ""))
