"""Ceilings come from real products and copies on the device, in every format a case may ask for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench.backend import UnavailableError, load_backend, names
from bench.roofline import ceilings
from bench.roofline.share import TimesLayers
from tests.bench.fake_engines import FakeEngine

if TYPE_CHECKING:
    from collections.abc import Callable


def test_ceilings_are_measured_for_the_formats_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_SIZES", {"cpu": (128,)})
    monkeypatch.setattr(ceilings, "_COPY_BYTES", {"cpu": 1 << 20})
    found = ceilings.ceilings("cpu", 1, ["fp32", "int8"])
    assert set(found) == {"fp32", "int8", "copy_bytes_per_s"}
    # Any machine that runs this manages a million a second; none manages 10^16.
    assert all(1e6 < value < 1e16 for value in found.values())


def test_format_nobody_multiplies_in_has_no_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_COPY_BYTES", {"cpu": 1 << 20})
    assert set(ceilings.ceilings("cpu", 1, ["fp4"])) == {"copy_bytes_per_s"}


def test_flops_per_second_count_two_for_each_multiply_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "call_s", lambda work: (work(), 0.5)[1])
    monkeypatch.setattr(ceilings, "_SIZES", {"cpu": (64, 128)})
    assert ceilings._flops_per_s(lambda _: lambda: None, "cpu") == 2 * 64**3 / 0.5
    assert ceilings._copy_bytes_per_s("cpu") == 2 * ceilings._COPY_BYTES["cpu"] / 0.5


@pytest.mark.parametrize("torch_s", [0.25, 0.0625])
def test_ceiling_is_the_fastest_library(monkeypatch: pytest.MonkeyPatch, torch_s: float) -> None:
    def takes(seconds: float) -> Callable[[], float]:
        return lambda: seconds

    offered = {"slow": takes(0.5), "fast": takes(0.125), "nothing": None}
    monkeypatch.setattr(ceilings, "_SIZES", {"cpu": (64,)})
    monkeypatch.setattr(ceilings, "_copy_bytes_per_s", lambda _: 1.0)
    monkeypatch.setattr(ceilings, "_timed_s", lambda work, _: work())
    monkeypatch.setattr(ceilings, "_torch_product", lambda *_: takes(torch_s))
    monkeypatch.setattr(ceilings, "names", lambda: (*offered, "offers no product"))
    backends = {name: SimpleNamespace(product=lambda *_, found=found: found) for name, found in offered.items()}
    monkeypatch.setattr(ceilings, "load_backend", lambda name: backends.get(name, SimpleNamespace()))
    assert ceilings.ceilings("cpu", 1, ["fp32"])["fp32"] == 2 * 64**3 / min(0.125, torch_s)


@pytest.mark.parametrize(("device", "each_s", "repeats"), [("cpu", 1 / 256, 12), ("cpu", 1.0, 5), ("cuda", 1 / 256, 5)])
def test_repeats_on_a_cpu_outlast_what_spins(
    monkeypatch: pytest.MonkeyPatch, device: str, each_s: float, repeats: int
) -> None:
    taken: list[float] = []

    def timed_s(*_: object) -> float:
        taken.append(each_s if taken else 2 * each_s)
        return taken[-1]

    monkeypatch.setattr(ceilings, "_timed_s", timed_s)
    assert ceilings._least_s(lambda: None, device) == each_s
    assert len(taken) == repeats


@pytest.mark.parametrize("arithmetic", ["fp32", "bf16", "int8"])
def test_products_of_libraries_are_right(arithmetic: str) -> None:
    seen = 0
    for name in names():
        try:
            backend = load_backend(name)
        except UnavailableError:
            continue
        if isinstance(backend, ceilings.OffersProduct):
            assert backend.product(arithmetic, "cuda", 1, 32) is None
            product = backend.product(arithmetic, "cpu", 1, 32)
            if product is not None:
                np.testing.assert_array_equal(np.asarray(product()), np.full((32, 32), 32))
                seen += 1
    assert seen or arithmetic == "bf16"  # Not every CPU has BF16.


def test_product_that_runs_in_another_format_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    backend: Any = pytest.importorskip("bench.backends.openvino")
    assert backend.product("fp32", "cpu", 1, 32) is not None
    monkeypatch.setitem(backend._HINTS, "bf16", "f32")
    monkeypatch.setitem(backend._CAPABILITIES, "bf16", "FP32")
    assert backend.product("bf16", "cpu", 1, 32) is None


def test_engine_that_times_no_layers_is_told_apart() -> None:
    assert not isinstance(FakeEngine(), TimesLayers)


@pytest.mark.parametrize(("capability", "fp8"), [((8, 0), False), ((8, 9), True), ((9, 0), True), ((10, 0), False)])
def test_int8_on_a_gpu_is_held_against_fp8_where_both_run_at_one_rate(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    fp8: bool,  # noqa: FBT001 - a parameter
) -> None:
    monkeypatch.setattr(ceilings, "names", tuple)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: capability)
    assert (ceilings._fp8_product in ceilings._makers("int8", "cuda", 1)) == fp8
    assert ceilings._fp8_product not in ceilings._makers("fp16", "cuda", 1)


@pytest.mark.gpu
def test_products_of_a_gpu_multiply_in_every_format() -> None:
    found = ceilings.ceilings("cuda", 1, ["fp32", "fp16", "int8"])
    assert found["fp32"] < found["fp16"] < found["int8"]
