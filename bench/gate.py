"""Verdicts on a run: a pure function of its JSON and a baseline, without torch or pytest."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from bench.accuracy import dice_drift, judge_accuracy, judge_floor
from bench.case import Case, parse_case
from bench.fingerprint import differences, surroundings
from bench.speed import changes, judge_speed
from bench.status import BAD, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.accuracy import Accuracy
    from bench.change import Change
    from bench.entries import Baseline, BaselineEntry
    from bench.fingerprint import Differences
    from bench.results import Row, Run
    from bench.speed import Speed

__all__ = ["BAD", "Status", "Verdict", "dice_drift", "findings", "judge_run"]

_LABEL_SHARE = 0.9
"""Share of the convolution FLOPs that must run at the precision a row is labelled with."""


def judge_run(
    run: Run, baseline: Baseline | None, max_fps_drop: float | None = None, others: Sequence[Run] = ()
) -> list[Verdict]:
    """Return a verdict for every case the run was asked for: MISSING where the baseline holds it and it did not run.

    `max_fps_drop` sets every case's limit, in place of the machine's own. `others` are further runs of the same code,
    which make the speed surer.
    """
    entries = {case: entry for case in run.rows if baseline and (entry := _entry(case, run, baseline))}
    found = {case: _differences(run.rows[case], run, entry, baseline) for case, entry in entries.items() if baseline}
    timed = {case: entry for case, entry in entries.items() if not found[case].speed}
    speeds = changes([run, *others], timed, baseline.entries.values() if baseline else ())
    truth = _fp32_truth(run.rows.values())
    verdicts = []
    for case, row in run.rows.items():
        short = judge_floor(row, truth)
        if short:
            verdicts.append(Verdict(case, Status.REGRESSION, "; ".join(short)))
        elif case in entries and baseline:
            verdicts.append(_compared(row, run, baseline, found[case], speeds.get(case), max_fps_drop))
        else:
            verdicts.append(_without_entry(row, baseline))
    verdicts += [Verdict(case, Status.FAILED, reason) for case, reason in run.failed.items() if case not in run.rows]
    verdicts += _not_run(run, baseline, {verdict.case for verdict in verdicts})
    return sorted(verdicts, key=lambda verdict: verdict.case)


def findings(run: Run, verdicts: Iterable[Verdict]) -> list[str]:
    """Return what speed and accuracy say only together, in words, the worst first."""
    label, trade, idle = [], [], []
    for verdict in verdicts:
        row = run.rows.get(verdict.case)
        if row is None:
            continue
        real = row.info.get("achieved") or {}
        arithmetic = parse_case(verdict.case).arithmetic
        if real and real.get(arithmetic, 0.0) < _LABEL_SHARE:
            ran = ", ".join(f"{share:.0%} {name}" for name, share in sorted(real.items(), key=lambda item: -item[1]))
            label.append(f"{verdict.case} is labelled {arithmetic}, but ran {ran}")
        lost = verdict.status is Status.REGRESSION and (verdict.dice_change or 0) < 0
        if verdict.speed and verdict.speed.low > 1 and lost:
            gain = f"{verdict.speed.ratio - 1:+.1%} FPS"
            trade.append(f"{verdict.case} is faster but less accurate: {gain}, Dice {verdict.dice_change:+.4f}")
        if row.precision != "fp32" and verdict.status is not Status.REGRESSION:
            idle += _slower(row, run)
    return label + trade + idle


def _slower(row: Row, run: Run) -> list[str]:
    """Return in words that a row is slower than the FP32 reference, or else than its own backend in FP32."""
    case = parse_case(row.case)
    own = run.rows.get(Case(case.backend, "fp32", case.batch_size).id)
    ratio, other = row.info.get("speedup") or 1, "FP32"
    if ratio >= 1 and own:
        ratio, other = row.fps / own.fps, own.case
    return [f"{row.case} is accurate but slower than {other} ({ratio:.2f}x)"] if ratio < 1 else []


def _compared(
    row: Row, run: Run, baseline: Baseline, differ: Differences, change: Change | None, max_fps_drop: float | None
) -> Verdict:
    """Return the verdict on a case that the baseline holds."""
    entry = baseline.entries[row.case, run.suite["model"]["digest"], run.suite["images"]["digest"]]
    waiver = baseline.waiver(row.case)
    limit = waiver.limit if waiver else max_fps_drop
    speed = judge_speed(change, entry, limit) if change else None
    accuracy = None if differ.accuracy else judge_accuracy(row, entry)
    status, evidence = _decided(speed, accuracy, differ)
    if waiver and waiver.expires < run.suite.get("measured", "")[:10]:
        status = Status.REGRESSION
        evidence = f"its waiver ({waiver.reason}) expired on {waiver.expires}: renew or drop it; {evidence}"
    elif waiver:
        evidence += f"; waived to {-waiver.limit:.0%} until {waiver.expires}: {waiver.reason}"
    doubted = accuracy and (accuracy.faults or accuracy.doubts)
    names = [*differ.named, *(_rebuilt(row, entry) if doubted else ())]
    if change and change.apart and speed and (speed.fault or speed.doubt):
        names.append(_luck(row, change, entry))
    named = f"; {', '.join(names)}" if names else ""
    return Verdict(
        row.case,
        status,
        evidence + named,
        speed=speed.interval if speed else None,
        dice_change=accuracy.change if accuracy else None,
        undecided=bool(speed and speed.undecided),
    )


def _rebuilt(row: Row, entry: BaselineEntry) -> list[str]:
    """Return a word on a rebuilt engine where the baseline cannot say how far rebuilds differ."""
    engine = row.info.get("engine_digest")
    if not engine or len(entry.builds) != 1 or engine in entry.builds:
        return []
    return ["another build of the engine than the one that the baseline knows"]


def _luck(row: Row, change: Change, entry: BaselineEntry) -> str:
    """Return how far builds are taken to lie apart, and how to know it better."""
    known = row.info["engine_digest"] in entry.builds
    which = f"one of the baseline's {len(entry.builds)} builds" if known else "of another build"
    told = f"{which}: builds lie {change.apart:.1%} apart (standard deviation"
    if len(entry.builds) > 1:
        return f"{told})"
    return f"{told}; of this case's nothing is known: make baseline FRESH=1 finds out)"


def _decided(speed: Speed | None, accuracy: Accuracy | None, differ: Differences) -> tuple[Status, str]:
    """Return the status that speed and accuracy give together, and why."""
    told = [part.summary for part in (speed, accuracy) if part]
    faults = [*(accuracy.faults if accuracy else ()), *([speed.fault] if speed and speed.fault else ())]
    if faults:
        return Status.REGRESSION, "; ".join(faults)
    if differ.speed or differ.accuracy:
        return Status.NOT_COMPARABLE, "; ".join(dict.fromkeys([*differ.speed, *differ.accuracy, *told]))
    doubts = [*(accuracy.doubts if accuracy else ()), *([speed.doubt] if speed and speed.doubt else ())]
    if doubts:
        return Status.INCONCLUSIVE, "; ".join(doubts)
    gains = [*(accuracy.gains if accuracy else ()), *([speed.gain] if speed and speed.gain else ())]
    if gains:
        return Status.IMPROVED, "; ".join(gains)
    return Status.PASS, "; ".join(told)


def _without_entry(row: Row, baseline: Baseline | None) -> Verdict:
    others = baseline.others(row.case) if baseline else []
    if others:
        what = f"the baseline's is of {others[0].model} on {others[0].images}, with other weights or images"
        return Verdict(row.case, Status.NOT_COMPARABLE, what)
    told = f"{row.fps:.1f} FPS, Dice {row.info['dice_fp32']['mean']:.4f}; nothing stored to compare with"
    return Verdict(row.case, Status.NO_BASELINE, told)


def _not_run(run: Run, baseline: Baseline | None, judged: set[str]) -> list[Verdict]:
    """Return MISSING for what the baseline holds and the run was asked for, SKIPPED for what else did not run."""
    entries = baseline.entries.values() if baseline else ()
    held = {entry.case for entry in entries if baseline and _entry(entry.case, run, baseline)}
    verdicts = []
    for case, reason in run.skipped.items():
        # A backend that is not there is skipped whole, under its bare name.
        gone = {name for name in held - judged if name.startswith(f"{case}-") and _asked(name, run)}
        missing = sorted(gone | ({case} & held - judged))
        told = f"skipped ({reason}), but the baseline holds it"
        verdicts += [Verdict(name, Status.MISSING, told) for name in missing]
        if not missing:
            verdicts.append(Verdict(case, Status.SKIPPED, reason))
        judged.update(missing)
    left = [case for case in run.selected if case in held - judged]
    return verdicts + [Verdict(case, Status.MISSING, "the baseline holds it, and it did not run") for case in left]


def _differences(row: Row, run: Run, entry: BaselineEntry, baseline: Baseline) -> Differences:
    """Return how the row's surroundings differ from its entry's."""
    old: dict[str, Any] = {**baseline.machine, "threads": entry.threads, "versions": entry.versions}
    if parse_case(row.case).arithmetic == "int8":
        old["calibration"] = entry.calibration
    return differences(old, {**surroundings(run), "versions": dict(row.info["versions"])})


def _fp32_truth(rows: Iterable[Row]) -> float | None:
    """Return the FP32 model's mean Dice against the truth: the median of its rows."""
    found = [row.info["dice_truth"]["mean"] for row in rows if row.precision == "fp32" and row.info["dice_truth"]]
    return statistics.median(found) if found else None


def _asked(case: str, run: Run) -> bool:
    """Whether the run's precisions and batch sizes include the case's."""
    wanted, asked = parse_case(case), run.suite["asked"]
    return wanted.precision in asked["precisions"] and wanted.batch_size in asked["batch_sizes"]


def _entry(case: str, run: Run, baseline: Baseline) -> BaselineEntry | None:
    return baseline.find(case, run.suite["model"]["digest"], run.suite["images"]["digest"])
