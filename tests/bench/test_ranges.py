"""Ranges are read as TensorRT writes them, and what they clip and blur is what quantizing really does."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.__main__ import main
from bench.backends._onnx_tensors import activations, values
from bench.ranges import Compared, Loss, RangesError, compared, losses, read_cache
from bench.swap import GivenRanges
from models.graphs import calibration_ranges
from models.images import normalise
from tests.bench.networks import quick, sections, tiny_source
from tests.bench.runs import row_json, run_json, write
from tests.models.test_graphs import run

if TYPE_CHECKING:
    from pathlib import Path

    from bench.source import NetworkSource

IMAGES = normalise(sections("calibration", 2).images)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NetworkSource:
    return tiny_source(tmp_path_factory.mktemp("ranges"))


def cache_file(path: Path, algorithm: str, scales: dict[str, float]) -> Path:
    """Write a calibration cache as TensorRT 8.6 does."""
    lines = [f"{name}: {struct.pack('!f', scale).hex()}" for name, scale in scales.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    version = "2" if algorithm == "Entropy" else ""
    path.write_text("\n".join([f"TRT-8600-{algorithm}Calibration{version}", *lines, ""]))
    return path


def test_a_cache_gives_its_algorithm_and_127_scales_of_each_tensor(tmp_path: Path) -> None:
    path = tmp_path / "calibration.cache"
    path.write_text("TRT-8600-EntropyCalibration2\nimage: 3caa54ff\n(Unnamed: 3) [Conv]: 3f800000\n")
    algorithm, ranges = read_cache(path)
    assert algorithm == "Entropy2"
    assert ranges == {"image": pytest.approx(0.020792 * 127, rel=1e-4), "(Unnamed: 3) [Conv]": 127.0}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read as a calibration cache"),
        (b"\xff\xfe", "cannot be read as a calibration cache"),
        (b"a picture\nimage: 3c\n", "not a calibration cache of TensorRT's: it begins with 'a picture'"),
        (
            b"TRT-8600-MinMaxCalibration\nimage: 3caa54ff\nimage: 3c\n",
            "line 3 is no tensor with its scale: 'image: 3c'",
        ),
        (b"TRT-8600-MinMaxCalibration\nimage\n", "line 2 is no tensor with its scale"),
    ],
)
def test_what_is_no_cache_is_refused_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "calibration.cache"
    path.write_bytes(content)
    with pytest.raises(RangesError, match=str(path)) as caught:
        read_cache(path)
    assert says in str(caught.value)


def test_tensors_that_only_a_relu_reads_are_none_that_a_runtime_keeps(made: NetworkSource) -> None:
    names = activations(made.graph("fp32"))
    assert names[0] == "image"
    assert len([name for name in names if name.endswith("Concat_output_0")]) == 4
    assert not any("Conv_output" in name for name in names)


def test_values_inside_the_graph_are_those_of_the_image(made: NetworkSource) -> None:
    graph = made.graph("fp32")
    relu = next(name for name in activations(graph) if "Relu" in name)
    found = list(values(graph, ["image", relu, "logits"], IMAGES, 1))
    assert len(found) == len(IMAGES)
    for image, each in zip(IMAGES, found, strict=True):
        np.testing.assert_array_equal(each["image"], image[None])
        np.testing.assert_allclose(each["logits"], run(graph, image[None]), atol=1e-4)
        assert each[relu].min() == 0


def test_losses_are_those_of_the_values_quantized_one_by_one(made: NetworkSource) -> None:
    sets = {"wide": {"image": 10.0}, "narrow": {"image": 1.0}, "useless": {"image": 0.0}}
    found = losses(made.graph("fp32"), IMAGES, sets, ["image", "logits"], 1)
    for name, limit in (("wide", 10.0), ("narrow", 1.0)):
        steps = np.round(IMAGES.astype(np.float64) * 127 / limit).clip(-127, 127)
        noise = np.mean((IMAGES - steps * limit / 127) ** 2)
        loss = found[name]["image"]
        assert loss.signal_to_noise_db == pytest.approx(
            10 * np.log10(np.mean(IMAGES.astype(np.float64) ** 2) / noise), abs=0.01
        )
        assert loss.clipped == pytest.approx(np.mean(np.abs(IMAGES) > limit + limit / 254))
    assert found["wide"]["image"].clipped == 0 < found["narrow"]["image"].clipped
    assert found["useless"]["image"].signal_to_noise_db == 0


def test_the_tensor_that_loses_most_comes_first() -> None:
    base = {name: Loss(2.0, 0.0, 40.0) for name in "abc"}
    other = {"a": Loss(1.0, 0.1, 39.0), "b": Loss(1.0, 0.1, 30.0), "d": Loss(1.0, 0.1, 0.0), "c": Loss(1, 0, 45)}
    found = compared(base, other)
    assert [each.tensor for each in found] == ["b", "a", "c"]
    assert [each.lost_db for each in found] == [10, 1, -5]
    assert found[0] == Compared("b", base["b"], other["b"])
    assert found[0].ratio == 0.5


def command(tmp_path: Path, *arguments: str) -> int:
    """Run the command on the small network at a small size."""
    common = ["--image-size", "32", "--images", "2", "--cache-dir", str(tmp_path)]
    return main(["ranges", *common, *arguments])


def test_our_own_calibrations_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ranges.json"
    assert command(tmp_path, "--own", "MinMax", "percentile", "--json", str(out)) == 0
    text = capsys.readouterr().out
    assert text.startswith("percentile against MinMax, 2 images; the tensors that lose most")
    ((pair),) = json.loads(out.read_text())
    assert (pair["base"], pair["other"]) == ("MinMax", "percentile")
    assert all(each["other"]["limit"] <= each["base"]["limit"] * 1.001 for each in pair["tensors"])
    assert any(each["other"]["clipped"] > 0 for each in pair["tensors"])
    assert all(each["base"]["clipped"] == 0 for each in pair["tensors"])  # MinMax saw these images
    assert command(tmp_path, "--own", "MinMax", "percentile") == 0
    assert "calibrating" not in capsys.readouterr().err


def test_tensorrts_caches_are_found_and_the_newest_that_fits_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "engine" / ".tensorrt"
    scales = {"image": 0.03, "/inc/inc.2/Relu_output_0": 0.02}
    older = cache_file(folder / "calibration-minmax-1.cache", "MinMax", {"image": 1.0})
    os.utime(older, (1, 1))
    cache_file(folder / "calibration-minmax-2.cache", "MinMax", scales)
    cache_file(folder / "calibration-entropy2-3.cache", "Entropy", {name: scale / 4 for name, scale in scales.items()})
    cache_file(folder / "calibration-entropy2-4.cache", "Entropy", {"another model's": 1.0})
    assert command(tmp_path, "--own") == 0
    text = capsys.readouterr().out
    assert text.startswith("TensorRT Entropy2 against TensorRT MinMax")
    assert "ranges are 0.25 of TensorRT MinMax's in the median" in text
    assert "of 2 tensors" in text


def test_the_cost_in_dice_is_told_where_a_run_holds_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worse = [[0.999, 0.985], [0.998, 0.98], [0.999, 0.982]]
    rows = [row_json("tensorrt_weak-int8-b1"), row_json("tensorrt_weak-int8-entropy-b1"), row_json("torch-fp32-b1")]
    rows[1]["extra_info"]["dice_fp32"] |= {"per_image": worse, "mean": 0.982333}
    path = write(tmp_path / "run.json", run_json(*rows))
    assert command(tmp_path, "--own", "MinMax", "percentile", "--runs", str(path)) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == "tensorrt_weak-int8-entropy-b1: Dice against FP32 0.98233, MinMax 0.99233: -0.01000"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--own", "MinMax"], "nothing to compare: MinMax without MinMax and another"),
        (["--own", "--trt-caches", "gone.cache"], "gone.cache: cannot be read as a calibration cache"),
        (["--image-size", "20"], "must be multiples of 16"),
        (["--model", "nonet"], "no model 'nonet'"),
    ],
)
def test_nothing_to_compare_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert command(tmp_path, *arguments) == 2
    assert says in capsys.readouterr().err


def test_a_named_cache_of_another_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = cache_file(tmp_path / "other.cache", "MinMax", {"another": 1.0})
    assert command(tmp_path, "--own", "--trt-caches", str(path)) == 2
    assert "names none of the model's tensors" in capsys.readouterr().err


def test_given_ranges_make_the_graph_that_calibration_makes(made: NetworkSource) -> None:
    ranges = calibration_ranges(made.graph("fp32"), made.calibration(), "int8")
    limits = {name: float(np.abs(data.range_value).max()) for name, data in ranges.data.items()}
    given = GivenRanges(*made.parts, limits=limits, plain=made)
    for kind in ("int8", "int8-unsigned", "int8-typed"):
        found, wanted = (run(source.graph(kind), IMAGES, optimized=False) for source in (given, made))
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert given.graph("fp32") == made.graph("fp32")


def test_one_bad_range_costs_its_dice_and_the_others_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scales = dict.fromkeys(activations(tiny_source(tmp_path).graph("fp32")), 0.02)
    for number, (algorithm, factor) in enumerate({"MinMax": 1.0, "Entropy": 0.05}.items()):
        worse = {**scales, "image": 0.02 * factor}
        cache_file(tmp_path / "engine" / ".tensorrt" / f"calibration-{number}.cache", algorithm, worse)
    monkeypatch.setattr("bench.commands.ranges.load_network", lambda *_: tiny_source(tmp_path).network)
    with quick():
        assert command(tmp_path, "--own", "--swap", "2") == 0
    shown = capsys.readouterr()
    assert "building onnxruntime-int8-b1-given-" in shown.err
    assert not [line for line in shown.err.splitlines() if "given" in line and "stored one" in line]
    lines = shown.out.splitlines()
    start = next(index for index, line in enumerate(lines) if "ranges by TensorRT MinMax but for one" in line)
    base, whole, swapped, same = (line.split() for line in lines[start + 1 : start + 5])
    assert swapped[0] == "image"
    assert float(base[-1]) == 0
    assert float(whole[-1]) < -0.01
    assert swapped[-2:] == whole[-2:]
    assert float(same[-1]) == 0


def test_a_backend_that_cannot_swap_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path, "--own", "MinMax", "percentile", "--swap", "1", "--backend", "torch") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("torch-int8-b1: ")
