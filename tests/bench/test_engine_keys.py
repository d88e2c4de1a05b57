"""An engine's key holds all that decides it, and a graph's as well."""

from __future__ import annotations

import dataclasses
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bench.engines
import models.graphs
from bench.case import Case
from bench.engines import engine_key
from bench.machine import this_machine
from bench.source import FORM_FILES
from tests.bench.fake_engines import fake_backend
from tests.bench.networks import sections, tiny_source

if TYPE_CHECKING:
    from bench.source import NetworkSource


FP32 = Case("openvino", "fp32", 1)


INT8 = Case("openvino", "int8", 1)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The file of a backend, with modules that it shares beside it."""
    folder = tmp_path / "backends"
    folder.mkdir()
    (folder / "_deeper.py").write_text("DEEPER = 1\n")
    (folder / "_shared.py").write_text("from bench.backends._deeper import DEEPER\nfrom bench.deciding import D\n")
    (tmp_path / "deciding.py").write_text("from bench.other import D\n")
    (tmp_path / "other.py").write_text("D = 1\n")
    (tmp_path / "timing.py").write_text("T = 1\n")
    (tmp_path / "outputs.py").write_text("O = 1\n")
    (folder / "_others.py").write_text("OTHERS = 1\n")
    (folder / "fake.py").write_text(
        "from bench.backends._shared import DEEPER\nfrom bench.backends import _fake_run\nfrom bench.timing import T\n"
        "from bench.outputs import O\n"
    )
    return folder / "fake.py"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"recipe": lambda case, device: {"graph": "fp32", "flag": "off"}}, "recipe"),
        ({"recipe": lambda case, device: {"graph": "fp16", "flag": "on"}}, "graph"),
        ({"versions": lambda: {"fake": "1.1"}}, "versions"),
    ],
)
def test_key_changes_with_what_the_backend_says(
    made: NetworkSource, code: Path, change: dict[str, Any], part: str
) -> None:
    key = engine_key(fake_backend(str(code)), made, FP32)
    changed = engine_key(fake_backend(str(code), **change), made, FP32)
    assert key[part] != changed[part]
    assert engine_key(fake_backend(str(code)), made, FP32) == key


@pytest.mark.parametrize("file", ["fake.py", "_shared.py", "_deeper.py", "../deciding.py"])
def test_key_changes_with_the_backend_s_code_and_all_it_shares(made: NetworkSource, code: Path, file: str) -> None:
    backend = fake_backend(str(code))
    key = engine_key(backend, made, FP32)
    with (code.parent / file).open("a") as changed:
        changed.write("X = 2\n")
    assert _differing(key, engine_key(backend, made, FP32)) == {"code"}


@pytest.mark.parametrize(
    "file", ["another.py", "_others.py", "_new.py", "_fake_run.py", "../timing.py", "../outputs.py", "../other.py"]
)
def test_key_does_not_change_with_code_that_the_backend_does_not_use(
    made: NetworkSource, code: Path, file: str
) -> None:
    backend = fake_backend(str(code))
    key = engine_key(backend, made, FP32)
    (code.parent / file).write_text("X = 2\n")
    assert engine_key(backend, made, FP32) == key


def test_key_changes_with_machine_and_threads(made: NetworkSource, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = fake_backend(str(code))
    key = engine_key(backend, made, FP32)
    here = this_machine("cpu")
    made.threads += 1
    assert _differing(key, engine_key(backend, made, FP32)) == {"threads"}
    made.threads -= 1
    monkeypatch.setattr(bench.engines, "this_machine", lambda device: dataclasses.replace(here, cpu="another"))
    assert _differing(key, engine_key(backend, made, FP32)) == {"machine"}


def test_key_changes_with_weights_size_and_graph_code(
    made: NetworkSource, code: Path, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = fake_backend(str(code))
    key = engine_key(backend, made, FP32)
    other = tiny_source(stored, dataclasses.replace(made.network, digest="other weights"))
    assert _differing(key, engine_key(backend, other, FP32)) == {"graph"}
    larger = tiny_source(stored, size=(64, 80))
    assert _differing(key, engine_key(backend, larger, FP32)) == {"graph", "size"}
    changed = tmp_path / "graphs.py"
    changed.write_text(Path(models.graphs.__file__).read_text() + "# another recipe\n")
    monkeypatch.setattr(models.graphs, "__file__", str(changed))
    assert _differing(key, engine_key(backend, made, FP32)) == {"graph"}


def test_all_code_that_makes_int8_graphs_is_in_their_key() -> None:
    code: set[str] = set()
    for name in ("graphs", "quantize", "unsigned", "variants"):
        text = (Path(models.graphs.__file__).parent / f"{name}.py").read_text()
        code |= set(re.findall(r"^from models\.(\w+) import", text, re.MULTILINE))
    # The ends are those of variants, which have keys of their own.
    assert {path.stem for path in FORM_FILES} == code - {"ends"}


def test_key_of_a_module_s_engine_holds_the_weights(made: NetworkSource, code: Path) -> None:
    backend = fake_backend(str(code), recipe=lambda case, device: {"mode": "eager"})
    key = engine_key(backend, made, FP32)
    made.network = dataclasses.replace(made.network, digest="other weights")
    assert _differing(key, engine_key(backend, made, FP32)) == {"network"}


def test_calibration_images_are_in_the_key_of_int8_alone(made: NetworkSource, code: Path, stored: Path) -> None:
    backend = fake_backend(str(code), recipe=lambda case, device: {"mode": "calibrated by the builder"})
    other = tiny_source(stored, made.network, calibration=sections("calibration", 2))
    assert engine_key(backend, made, FP32) == engine_key(backend, other, FP32)
    keys = [engine_key(backend, source, INT8) for source in (made, other)]
    assert _differing(*keys) == {"calibration"}
    graphs = [source.graph_entry("int8").digest for source in (made, other)]
    assert graphs[0] != graphs[1]


def test_graphs_are_made_where_onnx_runtime_comes_as_another_package(
    made: NetworkSource, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version
    versions = {"onnxruntime-gpu": "1.31.1"}

    def version(name: str) -> str:
        if name == "onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return versions.get(name) or real(name)

    monkeypatch.setattr(metadata, "version", version)
    first = made.graph_entry("fp32").digest
    versions["onnxruntime-gpu"] = "1.32.0"
    assert tiny_source(stored, made.network).graph_entry("fp32").digest != first


def _differing(key: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {name for name in key.keys() | other.keys() if key.get(name) != other.get(name)}
