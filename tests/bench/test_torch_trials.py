"""PyTorch's tries change what they say, for as long as the engine runs, and give the masks of the plain engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch._inductor import config

from bench.backends import torch_compile
from bench.case import Case
from bench.contest import try_variants
from bench.engines import open_engine
from bench.reference import reference_masks
from bench.variants import combined, offered, open_variant
from tests.bench.networks import as_network, quick, sections, tiny_source, two_convolutions

if TYPE_CHECKING:
    from pathlib import Path

EAGER = Case("torch", "fp32", 2)
COMPILED = Case("torch_compile", "bf16", 1)


class Watched(nn.Module):
    """A network that notes, at each inference, whether cuDNN may search, and how its weights lie."""

    seen: list[tuple[bool, bool]]

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1))
        self.seen = []

    def __deepcopy__(self, memo: Any) -> Watched:
        copied = Watched()
        copied.load_state_dict(self.state_dict())
        copied.seen = self.seen
        return copied

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Note, and infer."""
        weights: Any = self.layers[1].weight
        self.seen.append((torch.backends.cudnn.benchmark, weights.is_contiguous(memory_format=torch.channels_last)))
        logits: torch.Tensor = self.layers(image)
        return logits


def test_what_is_offered_depends_on_the_device() -> None:
    assert list(offered(EAGER, "cpu")) == ["channels-last", "freed-given-back"]
    assert list(offered(EAGER, "cuda")) == ["channels-last", "cudnn-benchmark"]
    assert list(offered(COMPILED, "cpu")) == ["freezing"]
    assert list(offered(COMPILED, "cuda")) == ["cudnn-benchmark", "freezing", "aten-convolutions"]


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_a_gpus_convolutions_in_fp32_are_left_to_libraries_anyway(precision: str) -> None:
    case = Case("torch_compile", precision, 1)
    assert list(offered(case, "cuda")) == ["cudnn-benchmark", "freezing"]
    assert torch_compile.recipe(case, "cuda")["convolutions"] == "libraries"
    assert "convolutions" not in torch_compile.recipe(case, "cpu")
    assert "convolutions" not in torch_compile.recipe(COMPILED, "cuda")


@pytest.mark.parametrize("left", [True, False])
def test_the_compiler_is_told_whose_the_convolutions_are(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left: bool,  # noqa: FBT001 - a parameter
) -> None:
    given: list[str | None] = []

    def compile_nothing(graph: Any, inputs: Any, **options: Any) -> Any:
        given.append(options["config_patches"].get("max_autotune_conv_backends"))
        return graph

    monkeypatch.setattr(torch_compile, "compile_fx", compile_nothing)
    monkeypatch.setattr(torch_compile, "by_libraries", lambda *_: left)
    source = tiny_source(tmp_path, as_network(two_convolutions()), size=(32, 32))
    with open_engine(source, COMPILED):
        pass
    assert given == ["ATEN" if left else None] * 2


def test_channels_last_gives_the_masks_of_the_plain_engine(tmp_path: Path) -> None:
    source, images = tiny_source(tmp_path), sections("held-out", 3)
    chosen = [combined("channels-last", offered(EAGER, "cpu"))]
    with quick():
        plain, found = try_variants(source, EAGER, chosen, images, reference_masks(source, images), turns=3)
    assert plain.figures is not None
    assert found.figures is not None, found.fault
    assert found.figures.dice_fp32 > 0.9999
    assert plain.figures.layers is found.figures.reformats is None


@pytest.mark.parametrize("name", ["channels-last", "cudnn-benchmark", "channels-last+cudnn-benchmark"])
def test_a_trial_holds_while_its_engine_runs_and_no_longer(tmp_path: Path, name: str) -> None:
    watched = Watched()
    source = tiny_source(tmp_path, as_network(watched), size=(32, 32))
    with open_variant(source, EAGER, combined(name, offered(EAGER, "cuda"))) as opened:
        assert not torch.backends.cudnn.benchmark
        opened.engine.enqueue()
        assert not torch.backends.cudnn.benchmark
    assert set(watched.seen) == {("cudnn-benchmark" in name, "channels-last" in name)}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("cudnn-benchmark", {}),
        ("freezing", {"freezing": True}),
        ("freezing+aten-convolutions", {"freezing": True, "max_autotune_conv_backends": "ATEN"}),
    ],
)
def test_the_compiler_gets_a_trials_options_in_building_and_in_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wanted: dict[str, object]
) -> None:
    given: list[tuple[object, ...]] = []
    plain = (False, config.max_autotune_conv_backends)
    searches: list[bool] = []

    def compile_nothing(graph: Any, inputs: Any, **options: Any) -> Any:
        assert not wanted.keys() & options["config_patches"].keys()
        given.append((config.freezing, config.max_autotune_conv_backends))
        searches.append(torch.backends.cudnn.benchmark)
        return graph

    monkeypatch.setattr(torch_compile, "compile_fx", compile_nothing)
    source = tiny_source(tmp_path, as_network(two_convolutions()), size=(32, 32))
    with open_variant(source, COMPILED, combined(name, offered(COMPILED, "cuda"))):
        pass
    assert given == [(wanted.get("freezing", plain[0]), wanted.get("max_autotune_conv_backends", plain[1]))] * 2
    assert (config.freezing, config.max_autotune_conv_backends) == plain
    assert searches == ["cudnn-benchmark" in name] * 2
    assert not torch.backends.cudnn.benchmark


def test_convolutions_with_frozen_weights_count_as_much_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_compile, "compile_fx_inner", lambda *_, **__: "compiled")
    graph = torch.fx.Graph()
    nodes = [graph.placeholder("image"), graph.placeholder("weight"), graph.get_attr("packed")]
    nodes[0].meta["val"], nodes[1].meta["val"] = torch.empty(1, 4, 8, 8), torch.empty(2, 4, 3, 3)
    half = graph.call_function(torch.ops.aten.to.dtype, (nodes[0], torch.bfloat16))
    half.meta["val"] = torch.empty(1, 4, 8, 8, dtype=torch.bfloat16)
    for target, arguments in (
        (torch.ops.aten.convolution.default, (nodes[0], nodes[1], None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)),
        (torch.ops.mkldnn._convolution_pointwise.default, (half, nodes[2])),
    ):
        graph.call_function(target, arguments).meta["val"] = torch.empty(1, 2, 8, 8)
    module = torch.fx.GraphModule({"packed": torch.empty(2, 4, 1, 1).to_mkldnn()}, graph)
    counted = torch_compile._GraphFlops()
    assert counted.compile(module, ()) == "compiled"
    assert counted.shares() == {"fp32": 0.9, "bf16": 0.1}


def test_an_open_engine_is_not_compiled_again_because_another_is_opened_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[object] = []

    def compile_nothing(graph: Any, inputs: Any, **options: Any) -> Any:
        compiled.append(graph)
        return graph

    monkeypatch.setattr(torch_compile, "compile_fx", compile_nothing)
    source = tiny_source(tmp_path, as_network(two_convolutions()), size=(32, 32))
    known = offered(COMPILED, "cuda")
    with open_variant(source, COMPILED, combined("freezing", known)) as first:
        with open_variant(source, COMPILED, combined("aten-convolutions", known)) as second:
            before = len(compiled)
            for opened in (first, second):
                opened.engine.enqueue()
            assert len(compiled) == before
        first.engine.enqueue()
        assert len(compiled) == before
