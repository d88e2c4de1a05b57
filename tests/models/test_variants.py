"""Each variant of a Q/DQ graph changes what it says, computes nearly the same, and stays a valid graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.graphs import to_int8_unsigned, to_variant
from models.images import normalise
from models.variants import VARIANTS
from tests.bench.networks import sections, tiny_source
from tests.models.test_graphs import run
from tests.models.test_quantize import Graph

if TYPE_CHECKING:
    from pathlib import Path

    from bench.source import NetworkSource

FORMS = ("int8", "int8-unsigned", "int8-typed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NetworkSource:
    return tiny_source(tmp_path_factory.mktemp("variants"))


def _variant(made: NetworkSource, form: str, variant: str, folder: Path) -> Path:
    path = folder / f"{form}-{variant}.onnx"
    to_variant(made.graph(form), [variant], path)
    return path


@pytest.mark.parametrize(
    ("form", "variant"),
    # The unsigned form joins one scale as it is.
    [(form, name) for form in FORMS for name in VARIANTS if (form, name) != ("int8-unsigned", "shared-concat")],
)
def test_variant_computes_nearly_what_the_plain_graph_does(
    made: NetworkSource, form: str, variant: str, tmp_path: Path
) -> None:
    batch = normalise(sections("held-out", 2).images)
    fp32, plain = (run(made.graph(kind), batch, optimized=False) for kind in ("fp32", form))
    path = _variant(made, form, variant, tmp_path)
    assert path.read_bytes() != made.graph(form).read_bytes()
    found = run(path, batch, optimized=False)
    assert np.abs(found - fp32).mean() < 2 * np.abs(plain - fp32).mean()


@pytest.mark.parametrize("form", FORMS)
def test_all_that_a_concatenation_joins_has_one_scale(made: NetworkSource, form: str, tmp_path: Path) -> None:
    plain = made.graph(form)
    graph = Graph(plain if form == "int8-unsigned" else _variant(made, form, "shared-concat", tmp_path))
    concats = graph.of("Concat")
    assert len(concats) == 4
    for concat in concats:
        (after,) = [node for node in graph.of("QuantizeLinear") if node.input[0] == concat.output[0]]
        for name in concat.input:
            dequantize = graph.producers[name]
            assert dequantize.op_type == "DequantizeLinear"
            assert dequantize.input[1:] == after.input[1:]
            joined = graph.producers[dequantize.input[0]].input[0]
            others = [node for node in graph.of("QuantizeLinear") if node.input[0] == joined]
            assert {tuple(node.input[1:]) for node in others} == {tuple(after.input[1:])}
            for node in others:
                assert all(
                    reader.input[1:] == after.input[1:]
                    for reader in graph.of("DequantizeLinear")
                    if reader.input[0] == node.output[0]
                )


def test_maxima_of_what_is_joined_keep_its_scale(made: NetworkSource, tmp_path: Path) -> None:
    model = onnx.load(made.graph("int8"))
    scales = {tensor.name: tensor for tensor in model.graph.initializer}
    joins = [node for node in model.graph.node if node.op_type == "Concat"]
    for node in model.graph.node:  # as calibrations leave it that cut each tensor's range by itself
        if node.op_type == "QuantizeLinear" and any(node.input[0] in join.output for join in joins):
            wider = numpy_helper.to_array(scales[node.input[1]]) * 1.5
            scales[node.input[1]].CopyFrom(numpy_helper.from_array(wider, node.input[1]))
    onnx.save(model, tmp_path / "int8.onnx")
    to_int8_unsigned(tmp_path / "int8.onnx", tmp_path / "unsigned.onnx")
    graph = Graph(tmp_path / "unsigned.onnx")
    pools = graph.of("MaxPool")
    assert len(pools) == 4
    for pool in pools:
        (after,) = [node for node in graph.of("QuantizeLinear") if node.input[0] == pool.output[0]]
        assert after.input[1:] == graph.producers[pool.input[0]].input[1:]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("variant", "floats"), [("float-first", 1), ("float-last", 1), ("float-ends", 2)])
def test_named_ends_are_not_quantized_and_nothing_dangles(
    made: NetworkSource, form: str, variant: str, floats: int, tmp_path: Path
) -> None:
    path = _variant(made, form, variant, tmp_path)
    graph, plain = Graph(path), Graph(made.graph(form))
    unquantized = [conv for conv in graph.of("Conv") if graph.source(conv.input[0]) != "DequantizeLinear"]
    assert len(unquantized) == floats
    assert all(graph.source(conv.input[1]) == "weight" for conv in unquantized)
    assert len(graph.of("Conv")) == len(plain.of("Conv"))
    read = {name for node in graph.nodes for name in node.input} | {
        value.name for value in onnx.load(path).graph.output
    }
    assert all(set(node.output) & read for node in graph.nodes)
