"""An engine is built once, labelled truly and always released."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest

import bench.engines
from bench.backend import load_backend
from bench.case import Case
from bench.engines import LabelError, check_label, engine_key, open_engine
from models.images import normalise
from tests.bench.fake_engines import FakeEngine, fake_backend
from tests.bench.networks import sections, tiny_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.source import NetworkSource

FP32 = Case("openvino", "fp32", 1)
INT8 = Case("openvino", "int8", 1)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The file of a backend."""
    path = tmp_path / "fake.py"
    path.write_text("")
    return path


def test_second_session_builds_nothing(made: NetworkSource, stored: Path) -> None:
    with open_engine(made, INT8) as first:
        assert first.built
    next_session = tiny_source(stored, made.network)
    with open_engine(next_session, INT8) as again:
        assert not again.built
        assert again.build_s == first.build_s
    assert next_session.cache.builds == []
    assert made.cache.builds[-1] == "engine/openvino-int8-b1"


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data + b"x"])
def test_damaged_engine_file_is_built_again_and_runs(made: NetworkSource, damage: Callable[[bytes], bytes]) -> None:
    said: list[str] = []
    made.cache.say = said.append
    key = engine_key(load_backend("openvino"), made, FP32)
    entry = made.cache.entry("engine", FP32.id, key, lambda folder: load_backend("openvino").build(made, FP32, folder))
    blob = entry.folder / "engine.blob"
    blob.write_bytes(damage(blob.read_bytes()))
    batch = normalise(sections("held-out", 1).images)
    with open_engine(made, FP32) as opened:
        opened.engine.copy_in(batch)
        opened.engine.enqueue()
        assert opened.built
        assert np.isfinite(opened.engine.copy_out()).all()
    assert any("has a damaged file engine.blob: building it again" in line for line in said)


def test_engine_is_closed_at_the_end_of_the_block_and_after_an_error(
    made: NetworkSource, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    monkeypatch.setattr(bench.engines, "load_backend", lambda name: fake_backend(str(code), engine))
    with open_engine(made, FP32) as opened:
        assert opened.engine is engine
        assert "close" not in engine.calls
    assert engine.calls == ["close"]
    with pytest.raises(ZeroDivisionError), open_engine(made, FP32):
        _ = 1 / 0
    assert engine.calls == ["close", "close"]


def test_a_build_begins_without_what_a_failed_case_left(made: NetworkSource, code: Path) -> None:
    failed = half_built()
    assert failed() is not None  # as after a test that failed: its error, and all in its frames, is garbage

    def build(source: object, case: Case, folder: Path) -> None:
        left.append(failed())

    left: list[object] = []
    gc.disable()
    try:
        with open_engine(made, FP32, fake_backend(str(code), build=build), name="after-a-failure"):
            pass
    finally:
        gc.enable()
    assert left == [None]


def half_built() -> weakref.ref[FakeEngine]:
    """Return a reference to an engine that only the frames of an error hold, which hold the error."""
    engine = FakeEngine()
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        kept = error
    assert kept.__traceback__ is not None
    return weakref.ref(engine)


@pytest.mark.parametrize(
    ("label", "achieved"),
    [
        ("int8", {"fp32": 1.0}),
        ("int8-entropy", {"int8": 0.5, "fp32": 0.5}),
        ("fp16", {"bf16": 1.0}),
        ("fp32", {"tf32": 0.3, "fp32": 0.7}),
        ("tf32", {"fp32": 1.0}),
        ("int8", {}),
    ],
)
def test_engine_that_runs_another_precision_than_its_label_is_refused(label: str, achieved: dict[str, float]) -> None:
    case = Case("openvino", label, 4)
    with pytest.raises(LabelError) as caught:
        check_label(case, FakeEngine(achieved=achieved))
    text = str(caught.value)
    assert f"{case}: labelled {case.arithmetic}" in text
    for name, share in achieved.items():
        assert f"{share:.1%} {name}" in text


@pytest.mark.parametrize(
    ("label", "achieved"), [("int8-entropy", {"int8": 0.999, "fp32": 0.001}), ("fp32", {"fp32": 1.0})]
)
def test_engine_of_its_label_s_precision_passes(label: str, achieved: dict[str, float]) -> None:
    check_label(Case("openvino", label, 4), FakeEngine(achieved=achieved))
