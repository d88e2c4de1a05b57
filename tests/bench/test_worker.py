"""Worker processes hold engines warm, answer with rounds and canary, end with their user, and name what went wrong."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bench.worker
from bench.again import time_again
from bench.canary import Canary
from bench.timing import rounds_s
from bench.traces import record
from bench.worker import main
from bench.workers import HERE, ROOT, Place, WorkerError, place_of, worker
from tests.bench.fake_engines import FakeEngine
from tests.bench.networks import as_network, sections, tiny_source, trained

if TYPE_CHECKING:
    from pathlib import Path

CASE = "openvino-fp32-b2"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a worker is told, its network the tiny one."""
    monkeypatch.setattr(bench.worker, "load_network", lambda name: as_network(trained()))
    monkeypatch.setattr(bench.worker, "stored_split", lambda cache, split, size: sections(split, 2, size))
    return {"cases": [CASE], "image_size": 64, "model": "tiny", "device": "cpu", "cache_dir": str(tmp_path)}


def test_worker_times_the_case_it_is_asked_for(spec: dict[str, Any]) -> None:
    questions = [{"do": "describe"}, {"do": "time", "case": CASE, "seconds": 0.05, "canary": True}]
    answers = io.StringIO()
    main(spec, io.StringIO("".join(f"{json.dumps(question)}\n" for question in questions)), answers)
    ready, described, timed = (json.loads(line) for line in answers.getvalue().splitlines())
    assert ready == {"ready": True}
    assert described["machine"]["gpu"] is None
    assert len(timed["samples_s"]) >= 3
    assert min(timed["samples_s"]) > 0
    assert len(timed["canary_s"]) == 2


_SPEAKS = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    question = json.loads(line)
    if question.get("case") == "broken":
        sys.exit("out of memory")
    print(json.dumps({"samples_s": [0.5, 0.25], "canary_s": [0.01, 0.02]}), flush=True)
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A checkout whose worker answers without engines."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").touch()
    (tmp_path / "bench" / "worker.py").write_text(_SPEAKS)
    return Place(sys.executable, tmp_path)


def test_visit_is_what_the_worker_answered(place: Place) -> None:
    with worker(place, {}) as client:
        visit = client.visit(CASE, 0.1)
    assert (visit.samples_s, visit.canary_s) == ((0.5, 0.25), (0.01, 0.02))


def test_worker_that_ends_is_told_with_its_last_words(place: Place) -> None:
    with worker(place, {}) as client, pytest.raises(WorkerError, match="out of memory"):
        client.visit("broken", 0.1)
    (place.checkout / "bench" / "worker.py").write_text("raise RuntimeError('no such backend')")
    with pytest.raises(WorkerError, match="no such backend"), worker(place, {}):
        pass


def test_recorded_run_visits_every_case_once_per_pass(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.traces.HERE", place)
    said: list[str] = []
    found = list(record({"cases": ["a", "b"]}, runs=2, passes=3, seconds=0.1, say=said.append))
    assert [{case: len(visits) for case, visits in run.items()} for run in found] == [{"a": 3, "b": 3}] * 2
    assert found[0]["a"][0].samples_s == (0.5, 0.25)
    assert len(said) == 2


def test_place_is_an_interpreter_or_a_checkout(tmp_path: Path, place: Place) -> None:
    assert place_of(sys.executable) == Place(sys.executable, ROOT)
    assert place_of(str(ROOT)).checkout == HERE.checkout
    assert place_of(str(place.checkout)) == Place(sys.executable, place.checkout.resolve())
    own = place.checkout / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    assert place_of(str(place.checkout)).python == str(own)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkerError, match=r"it has no bench/worker\.py"):
        place_of(str(tmp_path / "empty"))
    with pytest.raises(WorkerError, match="neither a Python interpreter nor a checkout"):
        place_of(str(tmp_path / "gone"))


def test_canary_does_the_same_work_each_time_and_takes_time() -> None:
    canary = Canary("cpu", 1)
    assert 1e-4 < canary.measure() < 10


def test_case_is_timed_again_beside_the_canary(tmp_path: Path) -> None:
    row: dict[str, Any] = {"case": CASE}
    source = tiny_source(tmp_path)
    for _ in range(2):
        time_again(row, source, sections("held-out", 3), Canary("cpu", 1))
    assert [len(visit["canary_s"]) for visit in row["again"]] == [2, 2]
    assert all(np.min(visit["samples_s"]) > 0 for visit in row["again"])


def test_rounds_are_at_least_as_many_as_asked_for() -> None:
    engine = FakeEngine()
    assert len(rounds_s(engine, 2, 0.0, least=4)) == 4
    assert engine.calls.count("enqueue") == 8
    assert engine.calls.count("synchronize") == 8
