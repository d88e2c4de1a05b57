"""What the gate can say of one case, and what a command's exit status says of all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.change import Interval


class Status(str, Enum):
    """The verdict on a case."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    REGRESSION = "REGRESSION"
    IMPROVED = "IMPROVED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_BASELINE = "NO_BASELINE"
    NOT_COMPARABLE = "NOT_COMPARABLE"
    MISSING = "MISSING"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


BAD = frozenset({Status.REGRESSION, Status.MISSING, Status.FAILED})
"""Verdicts that fail a gated run."""
STRICT = frozenset({Status.INCONCLUSIVE, Status.NO_BASELINE})
"""Verdicts that fail it too when asked to be strict."""
INTERRUPTED = 130
"""Exit status of a command that Ctrl-C ended, as a shell has it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of one case, and one sentence of evidence."""

    case: str
    status: Status
    evidence: str
    speed: Interval | None = None
    """New over stored images per second."""
    dice_change: float | None = None
    """Change of the target's mean Dice against the FP32 masks."""
    undecided: bool = False
    """Whether timing the case again could settle the verdict, or confirm a loss of speed."""


def exit_status(verdicts: Iterable[Verdict], *, strict: bool = False) -> int:
    """Return 0 for a clean run, 1 for a regressed, failed or vanished case, 2 where a case or all could not be judged.

    No verdict at all is no clean run.
    """
    found = {verdict.status for verdict in verdicts}
    if found & (BAD | STRICT if strict else BAD):
        return 1
    return 2 if Status.NOT_COMPARABLE in found or not found else 0


def conclusion(verdicts: Sequence[Verdict], *, strict: bool = False) -> str:
    """Return in a line what the exit status says of these verdicts, and of how many of them."""
    cases = sum(verdict.status is not Status.SKIPPED for verdict in verdicts)
    bad, unlike, unsure = (
        sum(verdict.status in group for verdict in verdicts) for group in (BAD, {Status.NOT_COMPARABLE}, STRICT)
    )
    if bad or (strict and unsure):
        found = [f"{bad} of {cases} cases regressed, failed or vanished"] if bad else []
        found += [f"{unsure} of {cases} INCONCLUSIVE or without a baseline"] if strict and unsure else []
        return f"The gate failed: {' and '.join(found)}."
    if unlike or not verdicts:
        return f"The gate could not judge: {unlike} of {cases} cases cannot be compared."
    left = f", {unsure} of {cases} INCONCLUSIVE or without a baseline" if unsure else ""
    return f"The gate passed: none of {cases} cases regressed, failed or vanished{left}."
