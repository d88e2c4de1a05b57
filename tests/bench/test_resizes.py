"""A resize that hands its integers on multiplies its values; evened ranges leave nothing to multiply."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch

from bench.__main__ import main
from bench.backends._onnx_tensors import activations
from bench.ranges import read_cache
from bench.resizes import Resized, handed_on, resizes, with_read_ranges
from models.images import normalise
from tests.bench.networks import quick, sections, tiny_source
from tests.models.test_graphs import run

if TYPE_CHECKING:
    from pathlib import Path

    from bench.source import NetworkSource

IMAGES = normalise(sections("held-out", 2).images)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NetworkSource:
    return tiny_source(tmp_path_factory.mktemp("resizes"))


def cache_text(ranges: dict[str, float]) -> bytes:
    """Return a calibration cache as TensorRT 8.6 writes it."""
    lines = [f"{name}: {struct.pack('!f', limit / 127).hex()}" for name, limit in ranges.items()]
    return "\n".join(["TRT-8600-MinMaxCalibration", *lines, ""]).encode()


def test_the_resizes_of_the_network_are_its_four_upsamplings(made: NetworkSource) -> None:
    ranges = dict.fromkeys(activations(made.graph("fp32")), 4.0)
    found = resizes(made.graph("fp32"), {**ranges, "/up2/up/Resize_output_0": 3.0})
    assert [each.tensor for each in found] == [f"/up{level}/up/Resize_output_0" for level in (1, 2, 3, 4)]
    assert [each.factor for each in found] == [1.0, 0.75, 1.0, 1.0]
    assert found[1].source == "/up1/conv/conv.5/Relu_output_0"
    del ranges["/up3/up/Resize_output_0"]
    assert len(resizes(made.graph("fp32"), ranges)) == 3


def test_multiplied_maps_are_those_of_the_module_with_multiplied_upsamplings(
    made: NetworkSource, tmp_path: Path
) -> None:
    factors = {"/up2/up/Resize_output_0": 0.5, "/up4/up/Resize_output_0": 1.5}
    handed_on(made.graph("fp32"), factors, tmp_path / "changed.onnx")
    onnx.checker.check_model(tmp_path / "changed.onnx")
    module = made.module()
    for level, factor in ((2, 0.5), (4, 1.5)):
        up = module.get_submodule(f"up{level}.up")
        up.register_forward_hook(lambda _module, _inputs, output, factor=factor: output * factor)
    with torch.inference_mode():
        wanted = module(torch.from_numpy(IMAGES)).numpy()
    np.testing.assert_allclose(run(tmp_path / "changed.onnx", IMAGES), wanted, atol=1e-4)
    assert np.abs(run(made.graph("fp32"), IMAGES) - wanted).max() > 0.1


def test_evened_ranges_are_those_that_the_resizes_read_and_no_other_line_changes(tmp_path: Path) -> None:
    before = cache_text({"image": 2.5, "a": 6.0, "b": 3.5, "bb": 1.0})
    after = with_read_ranges(before, [Resized("b", "a", 6.0, 3.5)])
    (tmp_path / "evened.cache").write_bytes(after)
    algorithm, ranges = read_cache(tmp_path / "evened.cache")
    assert algorithm == "MinMax"
    assert ranges == pytest.approx({"image": 2.5, "a": 6.0, "b": 6.0, "bb": 1.0})
    changed = [one for one, other in zip(before.split(b"\n"), after.split(b"\n"), strict=True) if one != other]
    assert [line.partition(b":")[0] for line in changed] == [b"b"]


def test_the_command_tells_each_factor_and_the_dice_it_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny_source(tmp_path)
    ranges = dict.fromkeys(activations(source.graph("fp32")), 4.0)
    halved = ranges | {f"/up{level}/up/Resize_output_0": 1.0 for level in (1, 2, 3, 4)}
    (tmp_path / "minmax.cache").write_bytes(cache_text(ranges))
    (tmp_path / "entropy.cache").write_bytes(cache_text(halved).replace(b"MinMaxCal", b"EntropyCal"))
    monkeypatch.setattr("bench.commands.ranges.load_network", lambda *_: source.network)
    caches = ["--trt-caches", str(tmp_path / "minmax.cache"), str(tmp_path / "entropy.cache")]
    common = ["--image-size", "64", "--images", "1", "--cache-dir", str(tmp_path)]
    with quick():
        assert main(["ranges", "--own", "--resizes", *caches, *common]) == 0
    text = capsys.readouterr().out
    even, uneven = text.split("TensorRT MinMax: a resize")[1].split("TensorRT Entropy: a resize")
    assert even.count("1.000 (4.000 / 4.000)") == 4
    assert uneven.count("0.250 (1.000 / 4.000)") == 4
    even_dice, uneven_dice = (float(part.split()[-1]) for part in (even, uneven))
    assert even_dice == 1.0
    assert uneven_dice < 0.99
