"""All that a report says, computed once from runs and their verdicts: HTML, Markdown and plots only render it."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.case import parse_case
from bench.counted import counted_s
from bench.gate import BAD, findings
from bench.judged_runs import untimed
from bench.medians import median_interval
from bench.page.accuracy import pictures, spreads
from bench.page.fleet import fleet, schemes
from bench.page.history import history
from bench.page.limits import Limits, recommend
from bench.page.throughput import layers, scaling, streams
from bench.page.values import CaseFacts, Facts, Judged, RunFacts
from bench.report import evidence, heading, ordered, remarks
from bench.status import Status
from bench.stream.reading import limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.entries import Baseline
    from bench.gate import Verdict
    from bench.page.history import Past
    from bench.page.sweeps import Sweep
    from bench.results import Row, Run

__all__ = ["Facts", "Judged", "Limits", "facts"]

_TOLD = (
    Status.FAILED,
    Status.MISSING,
    Status.REGRESSION,
    Status.NOT_COMPARABLE,
    Status.INCONCLUSIVE,
    Status.IMPROVED,
)
"""Verdicts whose evidence is told in words, in this order."""

_COMPARED = (Status.PASS, Status.IMPROVED)
_UNDECIDED = (Status.INCONCLUSIVE, Status.NOT_COMPARABLE)


def facts(
    judged: Sequence[Judged], limits: Limits, sweeps: Sequence[Sweep] = (), past: Past | None = None
) -> Facts:  # fmt: skip
    """Return the facts of runs, with the sweeps of their machines and the past of their cases where there are any."""
    runs = tuple(_run(each, limits, sweeps, past) for each in judged)
    if len(runs) == 1:
        return Facts(runs[0].headline, runs[0].outcome, runs, None)
    bad = sum(verdict.status in BAD for each in judged for verdict in _own(each))
    told = f"{bad} cases regressed, failed or vanished" if bad else "no regression found"
    undecided = sum(verdict.status in _UNDECIDED for each in judged for verdict in each.verdicts)
    if undecided:
        told += f", {undecided} could not be decided"
    half = sum(len(each.run.half_failed) for each in judged)
    if half:
        told += f", {half} failed in another way"
    outcome = next(kind for kind in ("bad", "open", "good") if any(run.outcome == kind for run in runs))
    return Facts(f"{len(runs)} runs: {told}.", outcome, runs, fleet(judged))


def _run(judged: Judged, limits: Limits, sweeps: Sequence[Sweep], past: Past | None) -> RunFacts:
    run, verdicts = judged.run, _own(judged)
    by_case = {verdict.case: verdict for verdict in verdicts}
    rows = ordered(run)
    cases = tuple(_case(row, by_case.get(row.case), rows) for row in rows)
    recommended, recommendation = recommend(cases, limits)
    shown, notes = pictures(run, judged.file)
    headline, outcome = _headline(run, verdicts)
    return RunFacts(
        file=judged.file,
        heading=heading(run),
        machine=str(run.suite["machine"]["id"]),
        headline=headline,
        outcome=outcome,
        against=_against(run, judged.baseline),
        attention=_attention(run, verdicts),
        recommended=recommended,
        recommendation="" if _streams_only(run) else recommendation,
        cases=cases,
        schemes=schemes(run),
        scaling=scaling(run, judged.file, sweeps),
        streams=streams(run),
        layers=layers(run),
        spreads=spreads(run),
        pictures=shown,
        picture_notes=notes,
        history=None if past is None else history(judged, past),
        repeat=_repeat(run),
        raw=judged.raw,
    )


def _streams_only(run: Run) -> bool:
    """Whether a run was of streams alone, which the gate does not judge."""
    return bool(run.streams) and untimed(run) and not run.failed


def _own(judged: Judged) -> Sequence[Verdict]:
    """Return the verdicts that say something of the run: where it timed nothing, no timed case is missing from it."""
    if not _streams_only(judged.run):
        return judged.verdicts
    return [verdict for verdict in judged.verdicts if verdict.status is not Status.MISSING]


def _case(row: Row, verdict: Verdict | None, rows: Sequence[Row]) -> CaseFacts:
    info, parsed = row.info, parse_case(row.case)
    dice, truth, memory = info["dice_fp32"], info["dice_truth"], info.get("peak_memory_bytes")
    _, low_s, high_s = median_interval(counted_s(info))
    speed = verdict.speed if verdict else None
    # Rounding first keeps a zero from being shown as a loss.
    changes = [round(value - 1, 3) + 0.0 for value in (speed.ratio, speed.low, speed.high)] if speed else []
    return CaseFacts(
        case=row.case,
        backend=parsed.backend,
        precision=parsed.precision,
        batch_size=row.batch_size,
        fps=row.fps,
        fps_low=row.batch_size / high_s,
        fps_high=row.batch_size / low_s,
        speedup=info.get("speedup"),
        latency_ms=1000 * row.batch_size / row.fps,
        dice=dice["mean"],
        dice_worst=dice["worst"],
        worst_image=dice["worst_image"],
        dice_truth=truth["mean"] if truth else None,
        memory_mib=memory / 2**20 if memory is not None else None,
        build_s=info.get("build_s"),
        status=verdict.status.value if verdict else "-",
        evidence=verdict.evidence if verdict else "",
        change="{:+.1%} ({:+.1%} to {:+.1%})".format(*changes) if changes else "-",
        front=not any(_beats(other, row) for other in rows),
    )


def _beats(other: Row, row: Row) -> bool:
    """Whether another row is as good in both speed and Dice, and better in one."""
    theirs, ours = (other.fps, other.info["dice_fp32"]["mean"]), (row.fps, row.info["dice_fp32"]["mean"])
    return theirs != ours and theirs[0] >= ours[0] and theirs[1] >= ours[1]


def _attention(run: Run, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    told = sorted((each for each in verdicts if each.status in _TOLD), key=lambda each: _TOLD.index(each.status))
    notes = evidence(told)
    new = [each.case for each in verdicts if each.status is Status.NO_BASELINE]
    if new and len(new) == len(run.rows):
        notes.append('No case has a baseline to be judged by yet: make baseline REASON="the first" stores one.')
    elif new:
        notes.append(f"No baseline holds {', '.join(new)}.")
    notes += [f"{case} was timed, and failed in another way: {why}" for case, why in run.half_failed.items()]
    partial = [each["case"] for each in run.streams if each["partial"]]
    notes += [f"The stream of {case} was interrupted: its figures are of what was done." for case in partial]
    notes += [line for line in map(limit, run.streams) if line]
    return tuple(dict.fromkeys([*notes, *findings(run, verdicts), *remarks(run)]))


def _headline(run: Run, verdicts: Sequence[Verdict]) -> tuple[str, str]:
    """Return the verdict on the whole run in a sentence, and whether it is bad, open or good."""
    if _streams_only(run):
        return f"Streams of {len(run.streams)} case{'s' if len(run.streams) > 1 else ''}; the gate judges none.", "open"
    counts = {status: sum(each.status is status for each in verdicts) for status in Status}
    told = ", ".join(f"{count} {status.value}" for status, count in counts.items() if count) or "no case"
    bad, undecided = (sum(counts[status] for status in group) for group in (BAD, _UNDECIDED))
    if bad:
        return f"{bad} of {len(verdicts)} cases regressed, failed or vanished ({told}).", "bad"
    half = run.half_failed
    if half:
        return f"No regression found ({told}), but {', '.join(half)} failed in another way.", "bad"
    if undecided:
        return f"No regression found, but {undecided} of {len(verdicts)} cases could not be decided ({told}).", "open"
    if any(counts[status] for status in _COMPARED):
        return f"No regression found ({told}).", "good"
    return f"No case failed; there is no baseline to compare with ({told}).", "open"


def _against(run: Run, baseline: Baseline | None) -> str:
    """Return whose acceptance the run was judged by, in words; nothing where nothing was judged."""
    if _streams_only(run):
        return ""
    held = baseline.entries.values() if baseline else ()
    entries = [entry for entry in held if entry.case in {*run.rows, *run.selected}]
    if not entries:
        return "Judged by the floors of each precision alone: no baseline was there."
    latest = max((entry.current.accepted for entry in entries), key=lambda each: each.when)
    return f"Judged by the baseline that {latest.who} accepted on {latest.when[:10]} ({latest.reason})."


def _repeat(run: Run) -> tuple[tuple[str, str], ...]:
    suite = run.suite
    machine, model, images, calibration = (suite[name] for name in ("machine", "model", "images", "calibration"))
    versions = machine.get("runtimes") or {}
    found = {
        "command": suite.get("command"),
        "commit": suite.get("commit"),
        "measured": suite.get("measured"),
        "machine": f"{machine['id']}: {machine['gpu'] or machine['cpu']}, {machine['cores']} cores",
        "driver": machine.get("driver"),
        "threads": suite.get("threads"),
        "model": f"{model['name']}, digest {model['digest']}",
        "weights": model.get("weights"),
        "images": f"{images['count']} of {images['origin']}, digest {images['digest']}",
        "calibration images": f"{calibration.get('origin')}, digest {calibration.get('digest')}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "rounds": _rounds(run),
        "checksum": suite.get("checksum"),
    }
    return tuple((name, str(value)) for name, value in found.items() if value)


def _rounds(run: Run) -> str:
    counts = [sum(len(visit.samples_s) for visit in row.visits) for row in run.rows.values()]
    return f"{min(counts)} to {max(counts)} a case, {statistics.median(counts):g} in the middle" if counts else ""
