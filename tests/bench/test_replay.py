"""Traces are kept whole and small, and a replay finds what was put into them and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.__main__ import main
from bench.injected import score_injected
from bench.replay import GATE, OTHERS, asv, fixed, judge, score, slowed
from bench.traces import Trace, TraceError, load, save
from bench.visits import Visit

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {"cpu": "AMD EPYC", "cores": 2, "gpu": None}
ORIGIN = {
    "machine": MACHINE, "recorded": "2030-01-01T00:00+00:00", "note": "quiet", "neighbour": None,
    "seconds_per_visit": 0.25,
}  # fmt: skip


def made(spread: float, runs: int = 12, cases: int = 20) -> list[dict[str, tuple[Visit, ...]]]:
    """Return runs with normal noise between them and within them."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(runs):
        middle = 0.01 * np.exp(spread * generator.normal(size=cases))
        found.append(
            {
                f"torch-fp32-b{index + 1}": tuple(
                    Visit(tuple(value * np.exp(spread / 3 * generator.normal(size=8)).round(6)), (0.01, 0.01))
                    for _ in range(2)
                )
                for index, value in enumerate(middle)
            }
        )
    return found


@pytest.fixture(scope="module")
def quiet() -> Trace:
    runs = made(0.002)
    return Trace("quiet", ORIGIN, tuple(runs[0]), tuple(runs))


def test_trace_is_read_back_to_six_digits_and_is_small(tmp_path: Path) -> None:
    runs = made(0.002, runs=30)
    save(tmp_path / "quiet.json", ORIGIN, runs)
    found = load(tmp_path / "quiet.json")
    assert (found.name, found.origin, len(found.runs)) == ("quiet", ORIGIN, 30)
    for case in found.cases:
        for one, other in zip(found.runs[7][case], runs[7][case], strict=True):
            assert one.samples_s == pytest.approx(other.samples_s, rel=1e-5)
            assert one.canary_s == other.canary_s
    assert (tmp_path / "quiet.json").stat().st_size < 300_000
    assert [path.name for path in tmp_path.iterdir()] == ["quiet.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 9}', '{"schema": 1, "origin": {}, "cases": ["a"], "runs": [[]]}']
)
def test_file_that_is_no_trace_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(TraceError, match=r"x\.json"):
        load(tmp_path / "x.json")
    assert main(["selftest", str(tmp_path / "x.json")]) == 2


def test_slowing_takes_this_share_of_the_fps(quiet: Trace) -> None:
    visits = quiet.runs[0][quiet.cases[0]]
    after = slowed(visits, 0.2)
    assert 1 / after[0].median_s == pytest.approx(0.8 / visits[0].median_s)
    assert after[0].canary_s == visits[0].canary_s


def test_gate_flags_the_slowed_case_alone_and_looks_again_before_it_does(quiet: Trace) -> None:
    old, new = quiet.runs[:5], quiet.runs[5:10]
    case = quiet.cases[3]
    assert judge(old, new, quiet.cases) == (set(), 1.0)
    slower = [{**run, case: slowed(run[case], 0.1)} for run in new]
    assert judge(old, slower, quiet.cases) == ({case}, 1.2)
    once = [slower[0], *new[1:]]
    assert judge(old, once, quiet.cases)[0] == set()


def test_quiet_trace_scores_as_it_should_under_each_rule(quiet: Trace) -> None:
    scores = {each.rule: each for each in score(quiet, 40, 5)}
    assert set(scores) == {GATE, *OTHERS}
    assert {each.false_alarms for each in scores.values()} == {0.0}
    assert scores[GATE].detected[0.05] == 1.0
    assert scores[GATE].detected[0.02] > 0.5
    assert scores[GATE].runs < 1.2
    plain = scores["pytest-benchmark median:5%"].detected
    assert (plain[0.02], plain[0.1], plain[0.2]) == (0, 1, 1)
    assert 0.3 < plain[0.05] < 1
    assert scores["asv 1.1, p<0.002"].detected[0.05] == 0


def test_other_rules_are_what_they_are_said_to_be() -> None:
    old = (Visit((1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 1.0), None),) * 2
    assert [asv(old, slowed(old, loss)) for loss in (0.0, 0.08, 0.12)] == [False, False, True]
    assert [fixed(old, slowed(old, loss)) for loss in (0.0, 0.04, 0.06)] == [False, False, True]
    short = (Visit((1.0,), None),)
    assert not asv(short, slowed(short, 0.5))


def test_command_prints_a_table_per_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "quiet.json", ORIGIN, made(0.002, cases=4))
    assert main(["selftest", str(tmp_path / "quiet.json"), "--trials", "5"]) == 0
    text = capsys.readouterr().out
    assert "**quiet**: 12 runs of 4 cases on AMD EPYC, 2 cores, 2030-01-01 (quiet); spread between runs 0.1%" in text
    assert "; 5 replays, baseline of 5 runs, up to 7 judged" in text
    assert "| **this gate** | 0.0% |" in text
    assert text.count("\n| ") == 2 + len(OTHERS)
    assert main(["selftest", str(tmp_path / "quiet.json"), "--baseline-runs", "8"]) == 2


def test_curve_shows_what_more_runs_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "noisy.json", ORIGIN, made(0.006, cases=10))
    out = tmp_path / "table.md"
    given = ("--trials", "25", "--curve", "--runs", "3", "--out", str(out))
    assert main(["selftest", str(tmp_path / "noisy.json"), *given]) == 0
    text = capsys.readouterr().out
    assert out.read_text() == text
    rows = {line.split(" | ")[0]: line for line in text.splitlines() if " and " in line.split(" | ")[0]}
    assert "| 10 and 7" not in rows
    few, many = (int(rows[f"| {name}"].split(" | ")[4].rstrip("%")) for name in ("3 and 1", "5 and 7"))
    assert many > few + 20


def test_what_was_really_slowed_is_counted_and_a_neighbour_is_no_fault(tmp_path: Path) -> None:
    case = "torch-fp32-b1"
    runs = [{**run, f"{case}@sleep=0.05": slowed(run[case], 0.05)} for run in made(0.002)]
    shaken = [{name: slowed(visits, 0.3) for name, visits in run.items()} for run in runs[:5]]
    save(tmp_path / "x.json", ORIGIN, runs, shaken)
    trace = load(tmp_path / "x.json")
    assert (len(trace.measured), len(trace.cases), trace.slowed) == (21, 20, (f"{case}@sleep=0.05",))
    sleep, beside = score_injected(trace, 20, 5, 5)
    assert sleep.loss == pytest.approx(0.05, abs=1e-5)
    assert (sleep.runs, sleep.flagged, beside.runs) == (12, 1.0, 5)
    # Here the neighbour slowed every case alike in every run and the canary in none: that cannot be told from a fault.
    assert beside.flagged == 1.0
    assert main(["selftest", str(tmp_path / "x.json"), "--trials", "2"]) == 0
