"""Ceilings come from real products and copies on the device, in every format a case may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.backend import UnavailableError, load_backend, names
from bench.roofline import ceilings
from bench.roofline.share import TimesLayers
from tests.bench.fake_engines import FakeEngine

if TYPE_CHECKING:
    import pytest


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


def test_int8_products_of_libraries_are_right() -> None:
    seen = 0
    for name in names():
        try:
            backend = load_backend(name)
        except UnavailableError:
            continue
        if isinstance(backend, ceilings.OffersProduct):
            product = backend.product("int8", "cpu", 1, 32)
            assert product is not None
            np.testing.assert_array_equal(np.asarray(product())[0], np.full((32, 32), 32))
            assert backend.product("fp32", "cpu", 1, 32) is None
            seen += 1
    assert seen


def test_engine_that_times_no_layers_is_told_apart() -> None:
    assert not isinstance(FakeEngine(), TimesLayers)
