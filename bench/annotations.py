"""Verdicts as the lines that make GitHub mark a workflow's run: each bad case an error, the unsure ones a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.status import BAD, STRICT, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from bench.status import Verdict

_MOST = 10
"""Annotations of one kind that GitHub shows of a step; it drops the others without a word."""
_ORDER = (Status.REGRESSION, Status.MISSING, Status.FAILED)
_DOUBT = (Status.NOT_COMPARABLE, Status.INCONCLUSIVE, Status.NO_BASELINE)


def github(verdicts: Sequence[Verdict], baseline: Path | None, root: Path, *, strict: bool = False) -> list[str]:
    """Return workflow commands, the worst first: an error per bad case, at its entry in the baseline if there is one.

    A status that leaves cases open is one line for all of them: a warning, or under `strict` an error where it fails.
    `baseline` is the file under `root`, the checkout, that was judged against, or None.
    """
    lines = _lines(baseline)
    place = baseline.relative_to(root).as_posix() if baseline and baseline.is_relative_to(root) else None
    errors = [
        command("error", f"{verdict.status.value} {verdict.case}", verdict.evidence, place, lines.get(verdict.case))
        for verdict in sorted(_of(verdicts, BAD), key=lambda each: (_ORDER.index(each.status), each.case))
    ]
    if len(errors) > _MOST:
        left = f"{len(errors) - _MOST + 1} more cases regressed, failed or vanished: the report lists them"
        errors = [*errors[: _MOST - 1], command("error", "and more", left)]
    doubts = []
    for status in _DOUBT:
        found = [f"{verdict.case}: {verdict.evidence}" for verdict in _of(verdicts, {status})]
        if found:
            level = "error" if strict and status in STRICT else "warning"
            doubts.append(command(level, f"{len(found)} {status.value}", "\n".join(found)))
    return errors + doubts


def command(level: str, title: str, text: str, file: str | None = None, number: int | None = None) -> str:
    """Return one workflow command of GitHub's; `level` is error, warning or notice."""
    at = {"file": file, "line": number} if file and number else {}
    properties = {**at, "title": title}
    told = ",".join(f"{name}={_escaped(str(value), '%', ':', ',')}" for name, value in properties.items())
    return f"::{level} {told}::{_escaped(text, '%')}"


def _escaped(text: str, *signs: str) -> str:
    """Return text whose signs and new lines GitHub does not take for its own; the per cent sign comes first."""
    for sign in (*signs, "\r", "\n"):
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def _of(verdicts: Iterable[Verdict], statuses: Iterable[Status]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.status in statuses]


def _lines(baseline: Path | None) -> dict[str, int]:
    """Return the line, from 1, at which each case's entry begins in a baseline file; of several entries the first."""
    found: dict[str, int] = {}
    if baseline is not None and baseline.exists():
        inside = False
        for number, text in enumerate(baseline.read_text(encoding="utf-8").splitlines(), 1):
            name, _, value = text.strip().partition(": ")
            # The waivers stand before the entries, and name their cases alike.
            inside = inside or name == '"entries"'
            if inside and name == '"case"':
                found.setdefault(value.strip('",'), number)
    return found
