"""Tries at a faster TensorRT engine: what the builder is told, and any ends behind the engine contract."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper

from bench import backend
from bench.backend import BuildError, OutOfMemoryError
from bench.backends._trt_ends import End
from bench.case import Case
from bench.trials import Trials, load_trials
from models.graphs import to_variant
from models.images import normalise
from tests.bench.trt_api.fakes import SIZE, Fakes, FakeSource, graph

if TYPE_CHECKING:
    from collections.abc import Sequence

PIXELS = np.random.default_rng(0).integers(0, 256, (2, *SIZE), np.uint8)
IMAGES = normalise(PIXELS)


def test_each_file_of_trials_belongs_to_a_backend_and_defines_the_contract(fakes: Fakes) -> None:
    files = Path(str(backend.__file__)).parent.joinpath("backends").glob("_trials_*.py")
    found = {file.stem.removeprefix("_trials_") for file in files}
    assert {"tensorrt", "tensorrt_weak"} <= found <= set(backend.names())
    assert load_trials("openvino") is None
    fakes.backend("_cuda")
    for name in found:
        trials = load_trials(name)
        for function in ("offers", "recipe", "build", "load", "layers"):
            promised = inspect.signature(getattr(Trials, function)).parameters
            assert list(inspect.signature(getattr(trials, function)).parameters) == [*promised][1:]


class Changed(FakeSource):
    """A fake source whose graphs are changed by steps."""

    steps: tuple[str, ...] = ()

    def graph(self, kind: str) -> Path:
        """Return the changed graph of one convolution."""
        path = self.folder / f"{kind}-changed.onnx"
        onnx.save(graph(), self.folder / "plain.onnx")
        to_variant(self.folder / "plain.onnx", self.steps, path)
        return path


def built(fakes: Fakes, tmp_path: Path, backend: str, precision: str, names: Sequence[str]) -> Any:
    """Build some trials as the command does, and return their engine."""
    case = Case(backend, precision, 2)
    trials = fakes.backend(f"_trials_{backend}")
    plain = FakeSource(tmp_path)
    fakes.backend(backend).build(plain, case, plain.engine_folder)
    source = Changed(tmp_path)
    source.steps = tuple(step for name in names for step in trials.offers(case, "cuda")[name])
    trials.build(source, plain, case, names, source.engine_folder)
    return trials.load(source, case, names, source.engine_folder)


def logits(engine: Any) -> np.ndarray:
    """Return what an engine says of the images."""
    engine.copy_in(IMAGES)
    engine.enqueue()
    found: np.ndarray = engine.copy_out()
    return found


def test_each_backend_offers_what_its_road_to_low_precision_can_do(fakes: Fakes) -> None:
    strong, weak = fakes.backend("_trials_tensorrt"), fakes.backend("_trials_tensorrt_weak")
    ends = {"level-5", "uint8-input", "argmax", "mask"}
    floats = {"float-first", "float-last", "float-ends"}
    assert set(strong.offers(Case("tensorrt", "fp32", 1), "cuda")) == ends
    assert set(strong.offers(Case("tensorrt", "int8", 1), "cuda")) == ends | {"io-fp16", "io-hwc8"}
    assert set(weak.offers(Case("tensorrt_weak", "fp16", 1), "cuda")) == ends | {"io-fp16", "io-hwc8"}
    assert set(weak.offers(Case("tensorrt_weak", "int8", 1), "cuda")) == ends | floats | {
        "io-fp16",
        "io-hwc8",
        "resize-own-ranges",
    }
    assert strong.offers(Case("tensorrt", "int8", 1), "cuda")["io-fp16"] == ()
    assert strong.offers(Case("tensorrt", "fp16", 1), "cuda")["io-fp16"] == ("half-io",)
    fakes.tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED = 1
    assert strong.offers(Case("tensorrt", "int8", 1), "cuda")["io-hwc8"] == ("half-io",)


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt_weak"])
def test_effort_alone_changes_the_builders_level(fakes: Fakes, tmp_path: Path, backend: str) -> None:
    engine = built(fakes, tmp_path, backend, "int8", ["level-5"])
    levels = [config.builder_optimization_level for config in fakes.behaviour.configs]
    assert levels == ([0, 3, 5] if backend == "tensorrt_weak" else [3, 5])  # 0: the build that calibrates
    np.testing.assert_array_equal(logits(engine), np.concatenate([IMAGES, -IMAGES], axis=1))
    engine.close()


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt_weak"])
def test_raw_pixels_reach_the_plan_as_they_were(fakes: Fakes, tmp_path: Path, backend: str) -> None:
    engine = built(fakes, tmp_path, backend, "fp16", ["uint8-input"])
    assert fakes.behaviour.networks[-1].image.dtype == "uint8"
    np.testing.assert_allclose(logits(engine)[:, :1], IMAGES, atol=1e-5)
    (held,) = [array for array in fakes.device.live.values() if array.nbytes == PIXELS.size]
    np.testing.assert_array_equal(held, PIXELS.reshape(-1))
    engine.close()
    assert (fakes.device.used_bytes, fakes.device.page_locked) == (0, 0)


@pytest.mark.parametrize(("name", "dtype"), [("argmax", "int32"), ("mask", "bool")])
def test_masks_come_back_as_logits_of_the_same_class(fakes: Fakes, tmp_path: Path, name: str, dtype: str) -> None:
    engine = built(fakes, tmp_path, "tensorrt", "int8", [name])
    assert fakes.behaviour.networks[-1].output.dtype == dtype
    found = logits(engine)
    assert found.shape == (2, 2, *SIZE)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.argmax(axis=1), (IMAGES < 0)[:, 0])
    engine.close()


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt_weak"])
@pytest.mark.parametrize(("name", "formats"), [("io-fp16", 1), ("io-hwc8", 1 << 2)])
def test_half_ends_in_either_layout_carry_the_same_values(
    fakes: Fakes, tmp_path: Path, backend: str, name: str, formats: int
) -> None:
    engine = built(fakes, tmp_path, backend, "fp16", [name])
    network = fakes.behaviour.networks[-1]
    assert (network.image.dtype, network.output.dtype) == ("float16", "float16")
    assert (network.image.allowed_formats, network.output.allowed_formats) == (formats, formats)
    np.testing.assert_array_equal(logits(engine)[:, :1], IMAGES.astype(np.float16).astype(np.float32))
    assert fakes.backend("_trials_tensorrt").layers(tmp_path / "engines" / "one") == ((3, 2) if formats > 1 else (1, 0))
    engine.close()
    assert (fakes.device.used_bytes, fakes.device.page_locked) == (0, 0)


def test_ends_that_are_no_floats_keep_their_type(fakes: Fakes, tmp_path: Path) -> None:
    engine = built(fakes, tmp_path, "tensorrt", "int8", ["uint8-input", "mask", "io-hwc8"])
    network = fakes.behaviour.networks[-1]
    assert (network.image.dtype, network.output.dtype) == ("uint8", "bool")
    assert (network.image.allowed_formats, network.output.allowed_formats) == (1, 1)
    engine.close()


def test_layers_kept_float_are_the_first_and_the_last_convolution(fakes: Fakes, tmp_path: Path) -> None:
    built(fakes, tmp_path, "tensorrt_weak", "int8", ["float-ends"]).close()
    network, config = fakes.behaviour.networks[-1], fakes.behaviour.configs[-1]
    assert "OBEY_PRECISION_CONSTRAINTS" in config.flags
    assert [network.get_layer(index).precision for index in range(network.num_layers)] == ["float16"]
    assert "OBEY_PRECISION_CONSTRAINTS" not in fakes.behaviour.configs[0].flags


def test_trials_take_the_ranges_that_the_plain_engine_was_calibrated_to(fakes: Fakes, tmp_path: Path) -> None:
    built(fakes, tmp_path, "tensorrt_weak", "int8", ["uint8-input"]).close()
    assert len(fakes.behaviour.batches) == 3  # the plain engine's, five images two by two
    assert len(list((tmp_path / "engines" / ".tensorrt").glob("calibration-minmax-*.cache"))) == 1


@pytest.mark.parametrize(("name", "made"), [("io-fp16", "3f800000"), ("resize-own-ranges", "3f000000")])
def test_a_resize_keeps_its_own_range_in_the_trial_that_is_about_that_alone(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, made: str
) -> None:
    fakes.behaviour.ranges = "TRT-8600-MinMaxCalibration\nread: 3f800000\nmade: 3f000000\n"
    resize = helper.make_node("Resize", ["read", "", "scales"], ["made"])
    monkeypatch.setattr("bench.resizes.Nodes.of", lambda _, kind: [resize] if kind == "Resize" else [])
    built(fakes, tmp_path, "tensorrt_weak", "int8", [name]).close()
    assert fakes.behaviour.read[-1] == f"TRT-8600-MinMaxCalibration\nread: 3f800000\nmade: {made}\n".encode()


def test_ranges_that_cannot_be_read_are_an_error_of_the_build(fakes: Fakes, tmp_path: Path) -> None:
    fakes.behaviour.ranges = "nothing of TensorRT's"
    with pytest.raises(BuildError, match="not a calibration cache of TensorRT's"):
        built(fakes, tmp_path, "tensorrt_weak", "int8", ["resize-own-ranges"])


def test_without_those_ranges_nothing_is_calibrated_on_the_wrong_input(fakes: Fakes, tmp_path: Path) -> None:
    trials = fakes.backend("_trials_tensorrt_weak")
    source = Changed(tmp_path)
    source.steps = ("uint8-input",)
    with pytest.raises(BuildError, match="the plain engine's calibrated ranges are gone"):
        trials.build(
            source, FakeSource(tmp_path), Case("tensorrt_weak", "int8", 2), ["uint8-input"], source.engine_folder
        )
    assert fakes.behaviour.batches == []


def test_recipes_of_trials_differ_from_the_plain_one_and_each_other(fakes: Fakes) -> None:
    trials, case = fakes.backend("_trials_tensorrt"), Case("tensorrt", "int8", 2)
    every = [trials.recipe(case, "cuda", [name]) for name in trials.offers(case, "cuda")]
    plain = fakes.backend("tensorrt").recipe(case, "cuda")
    assert len({tuple(recipe.items()) for recipe in (*every, plain)}) == len(every) + 1


def test_a_trial_that_fails_shows_tensorrts_message(fakes: Fakes, tmp_path: Path) -> None:
    fakes.behaviour.while_building = lambda: setattr(fakes.behaviour, "builds", len(fakes.behaviour.configs) < 2)
    fakes.behaviour.says = [("ERROR", "uint8 has no implementation")]
    with pytest.raises(BuildError, match="cannot build the engine\nTensorRT error: uint8 has no implementation"):
        built(fakes, tmp_path, "tensorrt", "int8", ["uint8-input"])
    assert fakes.device.used_bytes == 0


def test_a_trial_that_does_not_fit_leaves_the_device_clean(fakes: Fakes, tmp_path: Path) -> None:
    fakes.device.limit_bytes = 4 * IMAGES.size + 10
    with pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 2 \(needs about 5.0 GiB\)$"):
        built(fakes, tmp_path, "tensorrt", "int8", ["level-5"])
    assert (fakes.device.used_bytes, fakes.device.page_locked) == (0, 0)


def test_packed_halves_lie_eight_channels_side_by_side() -> None:
    end = End("logits", (1, 2, 2, 3), np.dtype(np.float16), packed=True)
    assert end.stored_shape == (1, 2, 3, 8)
    stored = np.zeros(end.stored_shape, np.float16)
    stored[0, 1, 2, :2] = (3, 4)
    assert end.get(stored)[0, :, 1, 2].tolist() == [3, 4]
    assert replace(end, shape=(1, 9, 2, 3)).stored_shape == (1, 2, 3, 16)


def test_every_grey_level_survives_the_way_through_normalised_floats() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    end = End("pixels", (1, 1, 16, 16), np.dtype(np.uint8), packed=False)
    stored = np.zeros(end.stored_shape, np.uint8)
    end.put(normalise(levels), stored)
    np.testing.assert_array_equal(stored[:, 0], levels)


@pytest.mark.parametrize(("dtype", "packed"), [(np.int64, False), (np.float32, True), (np.uint8, True)])
def test_ends_that_nobody_can_fill_are_refused(dtype: type, packed: bool) -> None:  # noqa: FBT001 - a parameter
    with pytest.raises(BuildError, match="no way to fill or read"):
        End("odd", (1, 1, 2, 2), np.dtype(dtype), packed=packed)
