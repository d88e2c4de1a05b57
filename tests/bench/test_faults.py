"""Engines built wrong are caught by the rules on accuracy, honest rebuilds are not, and each fault is what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import bench.faults.workshop
from bench.__main__ import main
from bench.faults.broken import FAULTS, _weight_pairs
from bench.faults.verdicts import entry_of, outcome_of
from bench.faults.workshop import Build, Workshop
from tests.bench.networks import as_network, quick, tiny_source, trained

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    """A workshop with the tiny network and three small images."""
    with pytest.MonkeyPatch.context() as patch, quick():
        patch.setattr(bench.faults.workshop, "load_network", lambda _: as_network(trained()))
        patch.setattr(bench.faults.workshop, "_CALIBRATION", 2)
        yield Workshop(64, 3)


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network's INT8 graph."""
    with quick():
        return tiny_source(tmp_path_factory.mktemp("graph")).graph("int8-unsigned")


def test_faults_are_caught_and_an_honest_rebuild_is_not(workshop: Workshop) -> None:
    entry = entry_of(workshop, [Build()])
    assert outcome_of("honest", workshop, replace(Build(), threads=1, batch_size=1), entry, 0.5).caught == ()
    for name in (
        "image shifted by one pixel",
        "nearest in place of bilinear",
        "batch norm in training mode",
    ):
        found = outcome_of(name, workshop, FAULTS[name], entry, 0.5)
        assert found.caught, name
        assert found.change is not None
        assert found.change < -0.0001, name


def test_without_a_backend_for_int8_nothing_is_built_and_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.faults.workshop, "load_network", lambda _: as_network(trained()))
    monkeypatch.setattr(bench.faults.workshop, "names", lambda: ["torch"])
    assert main(["faults", "--image-size=64", "--images=1"]) == 2
    told = capsys.readouterr()
    assert told.err.splitlines()[-1].startswith("cannot build: no backend here runs graphs in INT8 on a CPU: install ")
    assert not told.out


def test_infinities_are_caught_though_there_are_no_masks(workshop: Workshop) -> None:
    fault = FAULTS["FP16 overflow after the first block"]
    found = outcome_of("overflow", workshop, fault, entry_of(workshop, [Build()]), 0.5)
    assert found.change is None
    assert "NaN or infinite logits on image" in found.caught[0]


def test_int8_engine_with_a_wrong_graph_is_caught(workshop: Workshop) -> None:
    backend = workshop.backends("int8")[0]
    plain = Build("int8", backend=backend)
    entry = entry_of(workshop, [plain])
    blank = replace(FAULTS["calibrated on blank images"], backend=backend)
    assert outcome_of("blank", workshop, blank, entry, 0.5).caught
    slot = replace(FAULTS["wrong image in slot 3 of a batch of 4"], backend=backend, batch_size=3)
    assert outcome_of("slot", workshop, slot, entry, 0.5).caught


def test_scale_fault_changes_one_layer_by_its_factor_and_no_integer(int8: Path) -> None:
    before, after = onnx.load(int8), onnx.load(int8)
    change = FAULTS["one layer's weight scale off by 20 %"].graph
    assert change is not None
    change(after)
    old, new = (
        {each.name: numpy_helper.to_array(each) for each in model.graph.initializer} for model in (before, after)
    )
    changed = [name for name in old if not np.array_equal(old[name], new[name])]
    assert len(changed) == 2
    for name in changed:
        assert new[name] == pytest.approx(1.2 * old[name], rel=1e-6)


def test_per_tensor_fault_gives_all_channels_one_scale(int8: Path) -> None:
    model = onnx.load(int8)
    change = FAULTS["per-tensor weights in place of per-channel"].graph
    assert change is not None
    change(model)
    scales = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    pairs = _weight_pairs(model)
    assert len(pairs) == 19
    assert all(np.unique(scales[node.input[1]]).size == 1 for node, _ in pairs)


def test_module_faults_change_what_they_name() -> None:
    def broken(name: str) -> torch.nn.Module:
        module = as_network(trained()).module()
        change = FAULTS[name].module
        assert change is not None
        change(module)
        return module

    image = torch.linspace(-1, 1, 32 * 32).reshape(1, 1, 32, 32)
    honest = as_network(trained()).module()(image)
    assert torch.allclose(broken("classes swapped")(image), honest.flip(1), atol=1e-5)
    for name in ("bilinear without align_corners", "batch norm's epsilon 1e-3 for 1e-5", "one channel zeroed"):
        assert not torch.equal(broken(name)(image), honest), name
    assert not torch.isfinite(broken("FP16 overflow after the first block")(image * 100)).all()


def test_there_are_at_least_fifteen_faults() -> None:
    assert len(FAULTS) >= 15
