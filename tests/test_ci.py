"""The script that CI benchmarks by: its exit status is the gate's, and it leaves what a CI shows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.accept import accept
from bench.baseline import load_baseline, save_baseline
from bench.entries import Acceptance
from bench.results import read_run
from bench.visits import Visit
from tests.fixtures.sessions import BENCH, ON_CPU, QUICK, Desk, on_one_core

ROOT = Path(__file__).parents[1]
ONE = ("--backends=openvino", "--precisions=fp32", "--batch-sizes=1", "--image-size=64")


@dataclass(frozen=True)
class Job:
    """A desk, and the baseline that its jobs are judged against."""

    desk: Desk
    baseline: Path

    def run(self, out: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script on one tiny case."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GITHUB_"))}
        own = {"PY": sys.executable, "OUT": str(out), "PYTHONPATH": str(self.desk.folder), **variables}
        asked = (*ON_CPU, *QUICK, *self.desk.model, *ONE, "--samples=2", f"--cache-dir={self.desk.cache}", *arguments)
        return subprocess.run(
            [ROOT / ".ci" / "bench", *asked],
            cwd=self.desk.folder,
            env={**plain, **own},
            check=False,
            capture_output=True,
            text=True,
            preexec_fn=on_one_core,
        )


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    found = desk.folder / "run.json"
    # As the script runs: in a process of its own, on one core.
    session = desk.run_apart(BENCH, *QUICK, *desk.model, *ONE, f"--benchmark-json={found}")
    assert session.status == 0, session.text
    run = read_run(found)
    runs = [replace(run, suite={**run.suite, "checksum": name}) for name in "abc"]
    baseline = desk.folder / "baseline.json"
    save_baseline(accept(None, runs, Acceptance("ada", "2030-06-01T12:00:00+00:00", "first", "c0ffee")), baseline)
    return Job(desk, baseline)


def faster(baseline: Path, path: Path, times: float) -> Path:
    """Write a baseline whose runs were so many times faster, and return where."""
    stored = load_baseline(baseline)
    assert stored is not None
    entries = {}
    for key, entry in stored.entries.items():
        runs = []
        for run in entry.current.runs:
            visits = (Visit(tuple(value / times for value in each.samples_s), each.canary_s) for each in run.visits)
            runs.append(replace(run, visits=tuple(visits)))
        entries[key] = replace(entry, current=replace(entry.current, runs=tuple(runs)))
    save_baseline(replace(stored, entries=entries), path)
    return path


def test_clean_run_exits_with_0_and_leaves_every_file(job: Job, tmp_path: Path) -> None:
    out = tmp_path / "results"
    answer = job.run(out, "--gate", "--gate-budget=0", "--max-fps-drop=0.98", f"--baseline={job.baseline}")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert {path.name for path in out.iterdir()} == {"run.json", "report.html", "report.md", "junit.xml"}
    assert list(read_run(out / "run.json").rows) == ["openvino-fp32-b1"]
    assert "openvino-fp32-b1" in (out / "report.html").read_text()
    suite = ET.parse(out / "junit.xml").getroot()[0]  # noqa: S314 - just written by pytest
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")
    assert "::" not in "".join(line[:2] for line in answer.stdout.splitlines())


def test_report_allows_the_loss_that_the_gate_was_told_to_allow(job: Job, tmp_path: Path) -> None:
    doctored = faster(job.baseline, tmp_path / "faster.json", 1e3)
    answer = job.run(tmp_path, "--gate", "--gate-budget=0", "--max-fps-drop", "0.99999", f"--baseline={doctored}")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "REGRESSION" not in (tmp_path / "report.md").read_text()


def test_regression_exits_with_1_is_marked_and_the_report_goes_into_the_summary(job: Job, tmp_path: Path) -> None:
    summary, doctored = tmp_path / "summary.md", faster(job.baseline, tmp_path / "faster.json", 1e6)
    summary.write_text("before\n")
    answer = job.run(
        tmp_path, "--gate", "--gate-budget=0", "--baseline", str(doctored),
        GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary),
    )  # fmt: skip
    assert answer.returncode == 1, answer.stdout + answer.stderr
    (mark,) = [line for line in answer.stdout.splitlines() if line.startswith("::")]
    assert mark.startswith("::error title=REGRESSION openvino-fp32-b1::FPS ")
    assert summary.read_text() == f"before\n{(tmp_path / 'report.md').read_text()}"
    assert "REGRESSION" in summary.read_text()


def test_killed_run_is_reported_as_far_as_it_came(job: Job, tmp_path: Path) -> None:
    ended = job.desk.ended("test_stream", signal.SIGKILL)
    answer = job.run(tmp_path, *ended, "--gate", f"--baseline={job.baseline}")
    assert answer.returncode == 128 + signal.SIGKILL, answer.stdout + answer.stderr
    assert list(read_run(tmp_path / "run.unfinished.json").rows) == ["openvino-fp32-b1"]
    for name in ("report.html", "report.md"):
        assert "openvino-fp32-b1" in (tmp_path / name).read_text()
    again = job.run(tmp_path, "--precisions=int4")
    assert again.returncode == int(pytest.ExitCode.USAGE_ERROR)
    assert list(tmp_path.iterdir()) == []


def test_run_that_no_disk_took_whole_is_reported_from_what_was_kept(job: Job, tmp_path: Path) -> None:
    judged = ("--gate", "--gate-budget=0", "--max-fps-drop=0.98", f"--baseline={job.baseline}")
    answer = job.run(tmp_path, *job.desk.full(), *judged)
    assert answer.returncode == int(pytest.ExitCode.INTERNAL_ERROR), answer.stdout + answer.stderr
    assert {path.name for path in tmp_path.iterdir()} == {
        "run.unfinished.json", "report.html", "report.md", "junit.xml",
    }  # fmt: skip
    assert list(read_run(tmp_path / "run.unfinished.json").rows) == ["openvino-fp32-b1"]
    for name in ("report.html", "report.md"):
        assert "openvino-fp32-b1" in (tmp_path / name).read_text()


def test_command_line_that_is_wrong_keeps_pytest_s_status(job: Job, tmp_path: Path) -> None:
    answer = job.run(tmp_path, "--gate", "--precisions=int4")
    assert answer.returncode == int(pytest.ExitCode.USAGE_ERROR)
    assert not (tmp_path / "report.md").exists()
