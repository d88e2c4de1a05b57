"""Worker processes hold engines warm, answer with rounds and canary, end with their user, and name what went wrong."""

from __future__ import annotations

import io
import json
import sys
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bench.worker
from bench.again import time_again
from bench.backend import BuildError
from bench.canary import Canary
from bench.recording import Recorder
from bench.slowed import Reformatted, open_slowed, plain_case
from bench.timing import Delayed, rounds_s
from bench.worker import main
from bench.workers import HERE, ROOT, Client, Place, WorkerError, place_of, worker
from tests.bench.fake_engines import FakeEngine
from tests.bench.networks import as_network, sections, tiny_source, trained

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.visits import Visit

CASE = "openvino-fp32-b2"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a worker is told, its network the tiny one."""
    monkeypatch.setattr(bench.worker, "load_network", lambda name, weights: as_network(trained()))
    monkeypatch.setattr(bench.worker, "stored_split", lambda cache, split, size: sections(split, 2, size))
    return {"cases": [CASE], "image_size": 64, "model": "tiny", "device": "cpu", "cache_dir": str(tmp_path)}


def test_worker_times_the_case_it_is_asked_for(spec: dict[str, Any]) -> None:
    visit = {"do": "time", "case": CASE, "seconds": 0.05, "canary": True}
    questions = [{"do": "describe"}, visit, visit]
    answers = io.StringIO()
    main(spec, io.StringIO("".join(f"{json.dumps(question)}\n" for question in questions)), answers)
    ready, described, timed, again = (json.loads(line) for line in answers.getvalue().splitlines())
    assert ready == {"ready": True, "left_out": {}}
    assert described["machine"]["gpu"] is None
    assert len(timed["samples_s"]) >= 3
    assert min(timed["samples_s"]) > 0
    assert len(timed["canary_s"]) == 2
    assert again["canary_s"][0] == timed["canary_s"][1]


def test_worker_leaves_out_what_will_not_open_only_where_that_is_tolerated(
    spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec["cases"] = [f"{CASE}@sleep=0.5", "openvino-fp32-b1"]
    monkeypatch.setattr(
        bench.worker, "open_slowed", lambda source, name: _gone() if "@" in name else open_slowed(source, name)
    )
    answers = io.StringIO()
    main({**spec, "tolerant": True}, io.StringIO(), answers)
    assert json.loads(answers.getvalue())["left_out"] == {f"{CASE}@sleep=0.5": "BuildError: no such kernel"}
    with pytest.raises(BuildError, match="no such kernel"):
        main(spec, io.StringIO(), answers)


def _gone() -> Any:
    msg = "no such kernel\nin the library"
    raise BuildError(msg)


def test_name_says_how_an_engine_is_slowed() -> None:
    assert plain_case(CASE)[1] == ""
    assert plain_case(f"{CASE}@threads=1")[1] == "threads=1"
    for wrong in ("@sleep=2", "@", "@threads=0", "@stop"):
        with pytest.raises(ValueError, match="no way to slow an engine") as caught:
            plain_case(f"{CASE}{wrong}")
        assert CASE in str(caught.value)


def test_slowed_engines_are_the_engine_and_more(tmp_path: Path) -> None:
    source = tiny_source(tmp_path)
    batch = np.zeros((2, 1, *source.image_size), np.float32)
    with open_slowed(source, CASE) as plain:
        plain.copy_in(batch)
        plain.enqueue()
        expected = plain.copy_out()
    for how, kind in (("sleep=0.3", Delayed), ("reformat", Reformatted)):
        with open_slowed(source, f"{CASE}@{how}") as slowed:
            assert isinstance(slowed, kind)
            slowed.copy_in(batch)
            slowed.enqueue()
            assert np.array_equal(slowed.copy_out(), expected)
    with open_slowed(source, f"{CASE}@threads=1") as slowed:
        assert slowed._compiled.get_property("INFERENCE_NUM_THREADS") == 1  # type: ignore[attr-defined]
    source.device = "cuda"
    with pytest.raises(ValueError, match="no threads to take away"), open_slowed(source, f"{CASE}@threads=1"):
        pass


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


def recorder(place: Place, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Recorder:
    """Return a recorder of workers that answer without engines."""
    monkeypatch.setattr("bench.recording.HERE", place)
    return Recorder({"cases": ["a", "b"], "device": "cpu", "tolerant": True}, passes=3, seconds=0.1, say=said.append)


def test_recorded_run_visits_every_case_once_per_pass(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    found = recorder(place, monkeypatch, said).run()
    assert found is not None
    assert {case: len(visits) for case, visits in found.items()} == {"a": 3, "b": 3}
    assert found["a"][0].samples_s == (0.5, 0.25)
    assert len(said) == 1


def test_case_that_will_not_open_is_left_out_of_every_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _SPEAKS.replace('"ready": True', '"ready": True, "left_out": {"b": "no kernel"}')
    (place.checkout / "bench" / "worker.py").write_text(text)
    said: list[str] = []
    recording = recorder(place, monkeypatch, said)
    assert set(recording.run() or {}) == {"a"}
    assert recording.cases == ["a"]
    assert "b is left out: no kernel" in said


def test_recording_ends_where_no_case_will_open(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _SPEAKS.replace('"ready": True', '"ready": True, "left_out": {"a": "no TensorRT", "b": "no kernel"}')
    (place.checkout / "bench" / "worker.py").write_text(text)
    said: list[str] = []
    with pytest.raises(WorkerError, match="none of the cases can be opened here"):
        recorder(place, monkeypatch, said).run()
    assert said == ["a is left out: no TensorRT", "b is left out: no kernel"]


def test_run_that_dies_is_left_out_and_several_in_a_row_end_the_recording(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    recording = recorder(place, monkeypatch, said)
    worker_file = place.checkout / "bench" / "worker.py"
    assert recording.run() is not None
    worker_file.write_text("raise RuntimeError('device lost')")
    assert (recording.run(), recording.run()) == (None, None)
    assert said[-1].endswith("left out: RuntimeError: device lost")
    with pytest.raises(WorkerError, match="device lost"):
        recording.run()
    with pytest.raises(WorkerError, match="device lost"):
        recorder(place, monkeypatch, said).run()


def test_disturbed_run_has_a_neighbour_from_its_middle_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    visits: list[str] = []

    @contextmanager
    def beside(device: str, how: str) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(begin=lambda: seen.append(len(visits)))

    monkeypatch.setattr("bench.recording.beside", beside)
    visit = Client.visit

    def counted(client: Client, case: str, seconds: float) -> Visit:
        visits.append(case)
        return visit(client, case, seconds)

    monkeypatch.setattr(Client, "visit", counted)
    assert recorder(place, monkeypatch, []).run(disturbed=True)
    assert seen == [3]


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
    with pytest.raises(WorkerError, match="neither a Python interpreter nor a checkout"):
        place_of(str(ROOT / "README.md"))


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
