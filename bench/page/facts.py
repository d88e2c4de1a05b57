"""All that a report says, computed once from runs and their verdicts: HTML and Markdown only render it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.gate import BAD, findings
from bench.report import heading, ordered, remarks
from bench.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.gate import Verdict
    from bench.results import Row, Run


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine must keep to be recommended; None where nobody said."""

    min_dice: float | None = None
    max_latency_ms: float | None = None
    max_memory_mib: float | None = None

    def kept_by(self, case: CaseFacts) -> bool:
        """Whether a case is within every limit; memory that is unknown keeps none."""
        return (
            (self.min_dice is None or case.dice_worst >= self.min_dice)
            and (self.max_latency_ms is None or case.latency_ms <= self.max_latency_ms)
            and (
                self.max_memory_mib is None or (case.memory_mib is not None and case.memory_mib <= self.max_memory_mib)
            )
        )

    def words(self) -> str:
        """Return the limits as a person reads them; nothing where there are none."""
        named = (
            ("worst image's Dice against FP32 at least", self.min_dice, ""),
            ("latency of a batch at most", self.max_latency_ms, " ms"),
            ("peak memory at most", self.max_memory_mib, " MiB"),
        )
        return ", ".join(f"{what} {value:g}{unit}" for what, value, unit in named if value is not None)


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """One measured case."""

    case: str
    fps: float
    speedup: float | None
    latency_ms: float
    """Median milliseconds of a batch."""
    dice: float
    """Mean Dice of the target against the FP32 masks."""
    dice_worst: float
    worst_image: str
    dice_truth: float | None
    memory_mib: float | None
    build_s: float | None
    status: str
    evidence: str
    change: str
    """Change of FPS against the baseline with its interval, or a dash."""
    front: bool
    """Whether no other case is both faster and more faithful."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run on one machine."""

    file: str
    heading: str
    machine: str
    headline: str
    attention: tuple[str, ...]
    recommendation: str
    cases: tuple[CaseFacts, ...]
    repeat: tuple[tuple[str, str], ...]
    """What it takes to repeat the run: names and values."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A whole report; `fleet` holds images per second by case, one column per run, where there are several."""

    runs: tuple[RunFacts, ...]
    fleet: tuple[tuple[str, tuple[float | None, ...]], ...]


def facts(judged: Sequence[tuple[str, Run, Sequence[Verdict]]], limits: Limits) -> Facts:
    """Return the facts of runs, each with its file's name and its verdicts."""
    runs = tuple(_run(file, run, verdicts, limits) for file, run, verdicts in judged)
    fleet: list[tuple[str, tuple[float | None, ...]]] = []
    if len(judged) > 1:
        cases = dict.fromkeys(row.case for _, run, _ in judged for row in ordered(run))
        rows = [run.rows for _, run, _ in judged]
        fleet = [(case, tuple(each[case].fps if case in each else None for each in rows)) for case in cases]
    return Facts(runs, tuple(fleet))


def _run(file: str, run: Run, verdicts: Sequence[Verdict], limits: Limits) -> RunFacts:
    by_case = {verdict.case: verdict for verdict in verdicts}
    rows = ordered(run)
    cases = tuple(_case(row, by_case.get(row.case), rows) for row in rows)
    told = BAD | {Status.NOT_COMPARABLE, Status.INCONCLUSIVE, Status.IMPROVED}
    notes = [f"{each.status.value} {each.case}: {each.evidence}" for each in verdicts if each.status in told]
    return RunFacts(
        file=file,
        heading=heading(run),
        machine=str(run.suite["machine"]["id"]),
        headline=_headline(verdicts),
        attention=tuple(dict.fromkeys([*notes, *findings(run, verdicts), *remarks(run)])),
        recommendation=_recommendation(cases, limits),
        cases=cases,
        repeat=_repeat(run),
    )


def _case(row: Row, verdict: Verdict | None, rows: Sequence[Row]) -> CaseFacts:
    info = row.info
    dice, truth, memory = info["dice_fp32"], info["dice_truth"], info.get("peak_memory_bytes")
    speed = verdict.speed if verdict else None
    # Rounding first keeps a zero from being shown as a loss.
    changes = [round(value - 1, 3) + 0.0 for value in (speed.ratio, speed.low, speed.high)] if speed else []
    change = "{:+.1%} ({:+.1%} to {:+.1%})".format(*changes) if changes else "-"
    beaten = any(
        other.fps >= row.fps
        and other.info["dice_fp32"]["mean"] >= dice["mean"]
        and (other.fps, other.info["dice_fp32"]["mean"]) != (row.fps, dice["mean"])
        for other in rows
    )
    return CaseFacts(
        case=row.case,
        fps=row.fps,
        speedup=info.get("speedup"),
        latency_ms=statistics.median(row.samples_s) * 1000,
        dice=dice["mean"],
        dice_worst=dice["worst"],
        worst_image=dice["worst_image"],
        dice_truth=truth["mean"] if truth else None,
        memory_mib=memory / 2**20 if memory is not None else None,
        build_s=info.get("build_s"),
        status=verdict.status.value if verdict else "-",
        evidence=verdict.evidence if verdict else "",
        change=change,
        front=not beaten,
    )


def _headline(verdicts: Sequence[Verdict]) -> str:
    bad = [verdict.case for verdict in verdicts if verdict.status in BAD]
    counts = {status: sum(each.status is status for each in verdicts) for status in Status}
    told = ", ".join(f"{count} {status.value}" for status, count in counts.items() if count)
    verdict = f"{len(bad)} of {len(verdicts)} cases regressed, failed or vanished" if bad else "No regression found"
    return f"{verdict} ({told or 'no case'})."


def _recommendation(cases: Sequence[CaseFacts], limits: Limits) -> str:
    bad = {status.value for status in BAD}
    kept = [case for case in cases if case.status not in bad and limits.kept_by(case)]
    if not kept:
        wanted = limits.words()
        return f"No engine can be recommended: none passed the gate{' and kept ' + wanted if wanted else ''}."
    best = max(kept, key=lambda case: case.fps)
    within = f" with {limits.words()}" if limits.words() else ""
    return (
        f"{best.case}: with {best.fps:.1f} FPS the fastest of {len(kept)} that passed the gate{within}; "
        f"Dice against FP32 {best.dice:.4f}, worst image {best.dice_worst:.4f}, {best.latency_ms:.2f} ms a batch."
    )


def _repeat(run: Run) -> tuple[tuple[str, str], ...]:
    suite = run.suite
    versions = suite["machine"].get("runtimes") or {}
    found = {
        "measured": suite.get("measured"),
        "commit": suite.get("commit"),
        "model": f"{suite['model']['name']}, digest {suite['model']['digest']}",
        "images": f"{suite['images']['origin']}, digest {suite['images']['digest']}",
        "calibration": suite["calibration"].get("digest"),
        "threads": suite.get("threads"),
        "driver": suite["machine"].get("driver"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "checksum": suite.get("checksum"),
    }
    return tuple((name, str(value)) for name, value in found.items() if value)
