"""Building on TensorRT: what the builder is told, and what it leaves."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from filelock import FileLock
from onnx import helper

from bench.backend import BuildError
from bench.backends._flops import fixed_graph
from bench.case import Case
from models.nodes import Nodes
from tests.bench.networks import SIZE as TINY
from tests.bench.networks import as_network, padding_graph, tiny_source
from tests.bench.test_convolution_work import LAYERS
from tests.bench.trt_api.fakes import SIZE, Fakes, FakeSource, graph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def build(fakes: Fakes, source: FakeSource, precision: str, backend: str = "tensorrt_weak", batch: int = 2) -> Any:
    """Build a case and return the configuration that the builder was given."""
    fakes.backend(backend).build(source, Case(backend, precision, batch), source.engine_folder)
    return fakes.behaviour.configs[-1]


@pytest.mark.parametrize(
    ("backend", "precision", "flags"),
    [
        ("tensorrt_weak", "fp32", set()),
        ("tensorrt_weak", "tf32", {"TF32"}),
        ("tensorrt_weak", "fp16", {"TF32", "FP16"}),
        ("tensorrt_weak", "int8", {"TF32", "FP16", "INT8"}),
        ("tensorrt", "fp32", set()),
        ("tensorrt", "tf32", {"TF32"}),
        ("tensorrt", "fp16", {"TF32", "FP16"}),
        ("tensorrt", "int8-percentile", {"TF32", "FP16", "INT8"}),
    ],
)
def test_weakly_typed_networks_get_the_flags_of_their_precision(
    fakes: Fakes, tmp_path: Path, backend: str, precision: str, flags: set[str]
) -> None:
    config = build(fakes, FakeSource(tmp_path), precision, backend)
    assert config.flags == flags
    assert ("TF32" in config.cleared) == (precision == "fp32")
    assert (config.int8_calibrator is not None) == (backend == "tensorrt_weak" and precision == "int8")
    assert set(fakes.behaviour.network_flags) == {1}


def test_ranges_are_calibrated_in_a_quick_build_that_is_dropped_and_evened_for_the_one_that_stays(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.behaviour.ranges = "TRT-8600-MinMaxCalibration\nread: 3f800000\nmade: 3f000000\n"
    resize = helper.make_node("Resize", ["read", "", "scales"], ["made"])
    monkeypatch.setattr("bench.resizes.Nodes.of", lambda _, kind: [resize] if kind == "Resize" else [])
    source = FakeSource(tmp_path)
    build(fakes, source, "int8")
    assert [config.builder_optimization_level for config in fakes.behaviour.configs] == [0, 3]
    even = b"TRT-8600-MinMaxCalibration\nread: 3f800000\nmade: 3f800000\n"
    assert fakes.behaviour.read == [None, even]
    build(fakes, source, "int8")
    assert fakes.behaviour.read == [None, even, even]  # calibrated once, evened each time
    assert len(fakes.behaviour.batches) == 3
    (stored,) = (tmp_path / "engines" / ".tensorrt").glob("calibration-minmax-*.cache")
    assert stored.read_text() == fakes.behaviour.ranges


@pytest.mark.parametrize("content", [b"", b"TRT-8600-MinMaxCalibration\nread: 3f8", b"\xff\xfe"])
def test_ranges_that_cannot_be_read_any_more_are_calibrated_again(fakes: Fakes, tmp_path: Path, content: bytes) -> None:
    fakes.behaviour.ranges = "TRT-8600-MinMaxCalibration\nread: 3f800000\n"
    source = FakeSource(tmp_path)
    build(fakes, source, "int8")
    (stored,) = (tmp_path / "engines" / ".tensorrt").glob("calibration-minmax-*.cache")
    stored.write_bytes(content)
    build(fakes, source, "int8")
    assert stored.read_text() == fakes.behaviour.ranges
    assert len(fakes.behaviour.batches) == 6  # all five images, twice
    assert [text for text in source.said if text.endswith("calibrating again")]


def test_strongly_typed_networks_get_no_flags_and_the_typed_graph(fakes: Fakes, tmp_path: Path) -> None:
    fakes.tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED = 1
    source = FakeSource(tmp_path)
    config = build(fakes, source, "int8", "tensorrt")
    assert config.flags == {"TF32"}
    assert fakes.behaviour.network_flags == [2]
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["int8-typed.onnx"]


def test_engines_are_built_from_tensorrts_own_convolutions_with_layer_details(fakes: Fakes, tmp_path: Path) -> None:
    config = build(fakes, FakeSource(tmp_path), "fp16")
    assert config.tactic_sources == 0b11000
    assert config.profiling_verbosity == "DETAILED"
    assert config.builder_optimization_level == 3


def test_a_build_leaves_plan_layers_and_flops(fakes: Fakes, tmp_path: Path) -> None:
    source = FakeSource(tmp_path)
    build(fakes, source, "fp16")
    names = {path.name for path in source.engine_folder.iterdir()}
    assert names == {"engine.plan", "layers.json", "convolution_flops.json"}
    layers = json.loads((source.engine_folder / "layers.json").read_text(encoding="utf-8"))
    assert [layer["Name"] for layer in layers["Layers"]] == ["/inc/Conv + Relu"]


def test_flops_are_counted_at_the_cases_batch(tmp_path: Path) -> None:
    onnx.save(graph(), tmp_path / "free.onnx")
    fixed = fixed_graph(tmp_path / "free.onnx", 3, SIZE)
    assert fixed.convolution_flops == {"/inc/Conv": 2.0 * 3 * 2 * SIZE[0] * SIZE[1] * 9}
    dims = onnx.ModelProto.FromString(fixed.content).graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [3, 1, *SIZE]


def test_flops_behind_maps_that_a_graph_pads_when_it_runs_are_counted(tmp_path: Path) -> None:
    padding_graph(tmp_path / "model.onnx")
    pixels = 2 * 64 * 96
    assert fixed_graph(tmp_path / "model.onnx", 2, (48, 80)).convolution_flops == {
        "/first/Conv": 2 * pixels * 4 * 9,
        "/up/ConvTranspose": 2 * (pixels // 4) * 4 * 4 * 4,
        "/middle/Conv": 2 * pixels * 4 * 8 * 9,
        "/last/Conv": 2 * pixels * 2 * 4,
    }


def test_transposed_convolutions_lose_their_pairs_and_nothing_else_does(tmp_path: Path) -> None:
    source = tiny_source(tmp_path, as_network(LAYERS), size=SIZE)
    for kind in ("int8", "int8-typed"):
        given = onnx.load(source.graph(kind))
        taken = onnx.ModelProto.FromString(fixed_graph(source.graph(kind), 1, SIZE).content)
        pairs = [sum(node.op_type == "QuantizeLinear" for node in model.graph.node) for model in (given, taken)]
        assert pairs[0] - pairs[1] == 2, kind
        nodes = Nodes(taken)
        (transposed,) = nodes.of("ConvTranspose")
        assert nodes.before_pair(transposed.input[0]) == transposed.input[0]
        assert transposed.input[1] in nodes.weights
        assert all(nodes.before_pair(name) != name for conv in nodes.of("Conv") for name in conv.input[:2])
    plain = tiny_source(tmp_path).graph("int8")
    assert len(onnx.ModelProto.FromString(fixed_graph(plain, 1, TINY).content).graph.node) == len(
        onnx.load(plain).graph.node
    )


@pytest.mark.parametrize(
    ("kinds", "precisions"),
    [
        (("Conv", "Relu", "ConvTranspose", "Conv"), ["int8", None, "float16", "int8"]),
        (("Conv", "Relu", "Conv"), [None, None, None]),
    ],
)
def test_a_calibrated_network_keeps_transposed_convolutions_in_fp16_and_asks_for_int8_beside_them(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: Sequence[str], precisions: list[str | None]
) -> None:
    fakes.backend("tensorrt_weak")
    given = graph()
    del given.graph.node[:]
    given.graph.node.extend(helper.make_node(kind, ["image"], ["logits"]) for kind in kinds)
    flops = {"/inc/Conv": 1.0}
    fixed = SimpleNamespace(content=given.SerializeToString(), convolution_flops=flops)
    monkeypatch.setattr(fakes.backend("_trt_build"), "fixed_graph", lambda *_: fixed)
    for precision in ("int8", "fp16"):
        config = build(fakes, FakeSource(tmp_path), precision)
        network = fakes.behaviour.networks[-1]
        found = [network.get_layer(index).precision for index in range(network.num_layers)]
        wanted = precisions if precision == "int8" else [None] * len(kinds)
        assert found == wanted
        assert ("PREFER_PRECISION_CONSTRAINTS" in config.flags) == any(wanted)


def test_a_graph_with_another_batch_of_its_own_is_refused(tmp_path: Path) -> None:
    onnx.save(graph(batch=1), tmp_path / "fixed.onnx")
    assert fixed_graph(tmp_path / "fixed.onnx", 1, SIZE).convolution_flops
    with pytest.raises(BuildError, match="input image is 1x1x16x32, and the case needs 4x1x16x32"):
        fixed_graph(tmp_path / "fixed.onnx", 4, SIZE)


def test_the_timing_cache_of_one_build_serves_the_next(fakes: Fakes, tmp_path: Path) -> None:
    source = FakeSource(tmp_path)
    assert build(fakes, source, "fp16").timings == b""
    assert build(fakes, source, "int8").timings == b"+built"  # nothing of the quick build that calibrates
    (file,) = (tmp_path / "engines" / ".tensorrt").glob("timing-8.6.0_Fake_GPU_9.0.cache")
    for content in (b"damaged", b"foreign"):
        file.write_bytes(content)
        assert build(fakes, source, "fp16").timings == b""


def test_what_tensorrt_says_of_timings_it_cannot_read_is_no_reason_of_a_failure(fakes: Fakes, tmp_path: Path) -> None:
    source = FakeSource(tmp_path)
    build(fakes, source, "fp16")
    (file,) = (tmp_path / "engines" / ".tensorrt").glob("timing-*.cache")
    file.write_bytes(b"damaged")
    fakes.behaviour.builds = False
    fakes.behaviour.says = [("ERROR", "no implementation")]
    with pytest.raises(BuildError) as failure:
        build(fakes, source, "tf32")
    assert str(failure.value).split("\n")[1:] == ["TensorRT error: no implementation"]


def test_timings_that_another_process_kept_meanwhile_stay(fakes: Fakes, tmp_path: Path) -> None:
    source = FakeSource(tmp_path)
    build(fakes, source, "fp16")
    (file,) = (tmp_path / "engines" / ".tensorrt").glob("timing-*.cache")

    def other_process() -> None:
        file.write_bytes(b"another's")

    fakes.behaviour.while_building = other_process
    build(fakes, source, "tf32")
    assert file.read_bytes() == b"+built+built&another's"


@pytest.mark.parametrize("backend", ["tensorrt_weak", "tensorrt"])
def test_a_build_waits_for_the_one_under_way_on_its_gpu_and_says_so(fakes: Fakes, tmp_path: Path, backend: str) -> None:
    source = FakeSource(tmp_path)
    place = source.engine_folder.parent / ".tensorrt"
    place.mkdir()
    for name, waits in (("building-0000_00_06.0.lock", True), ("building-0000_00_07.0.lock", False)):
        other = FileLock(place / name)
        other.acquire()
        builder = threading.Thread(target=build, args=(fakes, source, "fp16", backend))
        builder.start()
        builder.join(0.5 if waits else 60)
        assert builder.is_alive() == waits
        built = len(fakes.behaviour.configs)
        other.release()
        builder.join(60)
        assert len(fakes.behaviour.configs) == built + waits
        told = f"{backend}-fp16-b2: waiting for another process that builds on this GPU"
        assert source.said.count(told) == 1
