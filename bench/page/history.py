"""Facts on the past: a case's FPS and Dice over a folder of runs, with what was accepted as its standard, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bench.accuracy import target_mean
from bench.entries import mean_scores, speed
from bench.page.parts import Accepted, CaseHistory, History, HistoryPoint
from bench.results import RunFileError, read_run
from bench.status import BAD

if TYPE_CHECKING:
    from pathlib import Path

    from bench.entries import BaselineEntry, Record
    from bench.page.values import Judged
    from bench.results import Run

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Past:
    """The runs of a folder by file name, and the files that are none."""

    folder: str
    runs: tuple[tuple[str, Run], ...]
    others: tuple[str, ...]


def read_past(folder: Path) -> Past:
    """Return every run in a folder and the folders in it; `RunFileError` where there is no such folder, or no run."""
    if not folder.is_dir():
        msg = f"--history {folder}: there is no such folder"
        raise RunFileError(msg)
    runs, others = [], []
    for path in sorted(folder.rglob("*.json")):
        try:
            runs.append((str(path.relative_to(folder)), read_run(path)))
        except RunFileError:
            others.append(str(path.relative_to(folder)))
    if not runs:
        msg = f"--history {folder}: none of its {len(others)} JSON files is a run of this suite"
        raise RunFileError(msg)
    return Past(folder.resolve().name, tuple(runs), tuple(others))


def history(judged: Judged, past: Past) -> History:
    """Return the past of a run's cases on the same machine, model and images; those that need attention come first."""
    alike = [(file, run) for file, run in past.runs if _workload(run) == _workload(judged.run)]
    known = {run.suite.get("checksum") for _, run in alike} - {None}
    if judged.run.suite.get("checksum") not in known:
        alike.append((judged.file, judged.run))
    alike.sort(key=lambda item: item[1].suite.get("measured", ""))
    bad = {verdict.case for verdict in judged.verdicts if verdict.status in BAD}
    cases = sorted(judged.run.rows, key=lambda case: (case not in bad, case))
    found = (CaseHistory(case, _points(case, alike), _accepted(case, judged)) for case in cases)
    unlike = len(past.runs) - sum(run is not judged.run for _, run in alike)
    return History(tuple(each for each in found if each.points), _notes(past, unlike))


def _workload(run: Run) -> tuple[str, ...]:
    return run.suite["machine"]["id"], run.suite["model"]["digest"], run.suite["images"]["digest"]


def _points(case: str, runs: list[tuple[str, Run]]) -> tuple[HistoryPoint, ...]:
    return tuple(
        HistoryPoint(run.suite.get("measured", ""), row.fps, row.info["dice_fp32"]["mean"], file)
        for file, run in runs
        if (row := run.rows.get(case)) is not None and _dated(run)
    )


def _dated(run: Run) -> bool:
    """Whether a run says when it was measured."""
    try:
        datetime.fromisoformat(run.suite.get("measured", ""))
    except ValueError:
        return False
    return True


def _accepted(case: str, judged: Judged) -> tuple[Accepted, ...]:
    """Return the records that the baseline keeps of a case, in the order of time."""
    suite = judged.run.suite
    entry = judged.baseline and judged.baseline.find(case, suite["model"]["digest"], suite["images"]["digest"])
    if not entry:
        return ()
    found = [_record(entry, entry.current, "baseline")]
    if entry.previous:
        found.append(_record(entry, entry.previous, "previous baseline"))
    if entry.anchor and entry.anchor != entry.previous:
        found.append(_record(entry, entry.anchor, "anchor"))
    return tuple(sorted(found, key=lambda each: each.when))


def _record(entry: BaselineEntry, record: Record, kind: str) -> Accepted:
    accepted = record.accepted
    dice = target_mean(mean_scores([run.dice_fp32 for run in record.runs]))
    return Accepted(accepted.when, speed(entry.case, record), dice, accepted.who, accepted.reason, kind)


def _notes(past: Past, unlike: int) -> tuple[str, ...]:
    notes = []
    if unlike:
        notes.append(f"{unlike} of {len(past.runs)} runs in {past.folder} are of another machine, model or image set.")
    if past.others:
        named = ", ".join(past.others[:_NAMED]) + (", ..." if len(past.others) > _NAMED else "")
        notes.append(f"{len(past.others)} files in {past.folder} are no runs of this suite, or damaged: {named}.")
    return tuple(notes)
