"""Verdicts on a run: a pure function of its JSON and a baseline, without torch or pytest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from bench.case import parse_case
from bench.limits import DICE, MAX_FPS_DROP

if TYPE_CHECKING:
    from bench.baseline import Baseline, BaselineEntry
    from bench.results import Row, Run


class Status(str, Enum):
    """What the gate can say of one case."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    REGRESSION = "REGRESSION"
    NO_BASELINE = "NO_BASELINE"
    NOT_COMPARABLE = "NOT_COMPARABLE"
    MISSING = "MISSING"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


BAD = frozenset({Status.REGRESSION, Status.MISSING, Status.FAILED})
"""Verdicts that fail a gated run."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one case, and one sentence of evidence."""

    case: str
    status: Status
    evidence: str


def judge_run(run: Run, baseline: Baseline | None, max_fps_drop: float = MAX_FPS_DROP) -> list[Verdict]:
    """Return a verdict for every case the run was asked for: MISSING where the baseline holds it and it did not run."""
    verdicts = [judge_row(row, run, baseline, max_fps_drop) for row in run.rows.values()]
    verdicts += [Verdict(case, Status.FAILED, reason) for case, reason in run.failed.items() if case not in run.rows]
    held = (
        {entry.case for entry in baseline.entries.values() if _entry(entry.case, run, baseline)} if baseline else set()
    )
    judged = {verdict.case for verdict in verdicts}
    for case, reason in run.skipped.items():
        # A backend that is not there is skipped whole, under its bare name.
        gone = {name for name in held - judged if name.startswith(f"{case}-") and _asked(name, run)}
        missing = sorted(gone | ({case} & held - judged))
        verdicts += [
            Verdict(name, Status.MISSING, f"skipped ({reason}), but the baseline holds it") for name in missing
        ]
        if not missing:
            verdicts.append(Verdict(case, Status.SKIPPED, reason))
        judged.update(missing)
    for case in run.selected:
        if case in held - judged:
            verdicts.append(Verdict(case, Status.MISSING, "the baseline holds it, and it did not run"))
    return sorted(verdicts, key=lambda verdict: verdict.case)


def judge_row(row: Row, run: Run, baseline: Baseline | None, max_fps_drop: float = MAX_FPS_DROP) -> Verdict:
    """Return the verdict on one measured case: floor first, then drift and speed against the baseline."""
    limits = DICE[row.precision]
    dice = row.info["dice_fp32"]
    if dice["mean"] < limits.floor:
        return Verdict(row.case, Status.REGRESSION, f"Dice against FP32 {dice['mean']:.4f}, floor {limits.floor:.4f}")
    entry = _entry(row.case, run, baseline) if baseline else None
    if entry is None:
        others = baseline.others(row.case) if baseline else []
        if others:
            what = f"the baseline's is of {others[0].model} on {others[0].images}, with other weights or images"
            return Verdict(row.case, Status.NOT_COMPARABLE, what)
        return Verdict(
            row.case, Status.NO_BASELINE, f"{row.fps:.1f} FPS, Dice {dice['mean']:.4f}; nothing stored to compare with"
        )
    return _compared(row, entry, limits.drift, max_fps_drop)


def dice_drift(new: list[list[float]], old: list[list[float]]) -> tuple[float, int]:
    """Return the largest loss of Dice of any image and class, and the image's index; both are [N][classes]."""
    losses = [
        max(before - after for before, after in zip(olds, news, strict=True))
        for olds, news in zip(old, new, strict=True)
    ]
    worst = max(range(len(losses)), key=losses.__getitem__)
    return losses[worst], worst


def _compared(row: Row, entry: BaselineEntry, allowed_drift: float, max_fps_drop: float) -> Verdict:
    change = row.fps / entry.fps - 1
    speed = f"FPS {entry.fps:.1f} -> {row.fps:.1f}, {change:+.1%}"
    drift, image = dice_drift(row.info["dice_fp32"]["per_image"], entry.dice_fp32)
    fidelity = f"Dice {_mean(entry.dice_fp32):.4f} -> {row.info['dice_fp32']['mean']:.4f}"
    faults = []
    if drift > allowed_drift:
        name = row.info["images"][image]
        faults.append(f"{fidelity}, worst on {name}: -{drift:.4f}, limit -{allowed_drift:.4f}")
    if change < -max_fps_drop:
        faults.append(f"{speed}, limit -{max_fps_drop:.0%}")
    if faults:
        return Verdict(row.case, Status.REGRESSION, "; ".join(faults))
    return Verdict(row.case, Status.PASS, f"{speed}; {fidelity}")


def _mean(scores: list[list[float]]) -> float:
    targets = [sum(row[1:]) / len(row[1:]) for row in scores]
    return sum(targets) / len(targets)


def _asked(case: str, run: Run) -> bool:
    """Whether the run's precisions and batch sizes include the case's."""
    wanted, asked = parse_case(case), run.suite["asked"]
    return wanted.precision in asked["precisions"] and wanted.batch_size in asked["batch_sizes"]


def _entry(case: str, run: Run, baseline: Baseline) -> BaselineEntry | None:
    return baseline.find(case, run.suite["model"]["digest"], run.suite["images"]["digest"])
