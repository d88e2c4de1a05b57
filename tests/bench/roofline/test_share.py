"""A case's share of the ceiling, and what binds it, follow from counted work, measured ceilings and measured time."""

from __future__ import annotations

import pytest

from bench.case import Case
from bench.roofline.counts import Layer, Work
from bench.roofline.share import case_share, least_s, outside, passes, top

WORK = Work((Layer("wide", flops=8e9, activations=1000, weights=500), Layer("thin", 1e3, 1_000_000, 0)))
CEILINGS = {"fp32": 1e12, "int8": 4e12, "copy_bytes_per_s": 1e9}
FP32, INT8 = Case("any", "fp32", 2), Case("any", "int8-entropy", 2)


def test_each_layer_needs_the_longer_of_arithmetic_and_memory() -> None:
    # wide: 2 x 8 ms of arithmetic against 10 us of bytes; thin: 2 ns against 2 x 4 MB at 1 GB/s.
    assert least_s(WORK, FP32, CEILINGS) == pytest.approx((0.016, 0.008))
    assert least_s(WORK, INT8, CEILINGS) == pytest.approx((0.004, 0.002))
    assert least_s(WORK, Case("any", "fp16", 2), CEILINGS) is None


def test_share_is_the_least_time_over_the_measured() -> None:
    found = case_share(FP32, WORK, CEILINGS, 0.048, None)
    assert found["share_of_ceiling"] == pytest.approx(0.5)
    assert found["bound_by"] == "arithmetic"
    assert (found["outside_layers"], found["layers"]) == (None, [])


def test_only_more_than_the_ceiling_passes_it() -> None:
    assert passes([0.5, None, 1.01])
    assert not passes([None, 1.0])
    assert not passes([])


def test_slower_memory_binds() -> None:
    assert case_share(FP32, WORK, {**CEILINGS, "copy_bytes_per_s": 1e8}, 0.1, None)["bound_by"] == "memory"


def test_kernels_bind_where_less_than_half_of_the_ceiling_is_reached() -> None:
    assert case_share(FP32, WORK, CEILINGS, 0.049, None)["bound_by"] == "kernels"
    assert case_share(FP32, WORK, {**CEILINGS, "copy_bytes_per_s": 1e8}, 0.2, None)["bound_by"] == "kernels"
    assert case_share(FP32, WORK, CEILINGS, 0.1, {"a": 0.06})["bound_by"] == "launches"


def test_time_outside_all_layers_is_launching() -> None:
    layers = {"a": 0.010, "b": 0.005}
    assert outside(0.020, layers) == pytest.approx(0.25)
    assert case_share(FP32, WORK, CEILINGS, 0.020, layers)["bound_by"] == "arithmetic"
    assert case_share(FP32, WORK, CEILINGS, 0.030, layers)["bound_by"] == "launches"
    assert outside(0.010, layers) == 0


def test_copies_that_outlast_inference_bind() -> None:
    stages = {"copy_in": 1.0, "copy_out": 2.0, "infer": 2.9}
    assert case_share(FP32, WORK, CEILINGS, 0.02, None, stages)["bound_by"] == "copies"
    assert case_share(FP32, WORK, CEILINGS, 0.02, None, {**stages, "infer": 3.1})["bound_by"] == "arithmetic"


def test_case_without_a_ceiling_is_said_to_be_unknown() -> None:
    found = case_share(Case("any", "bf16", 1), WORK, CEILINGS, 0.02, None)
    assert (found["share_of_ceiling"], found["bound_by"]) == (None, "unknown")


def test_ten_most_expensive_layers_come_first_with_their_share() -> None:
    layers = {f"layer {index}": index / 1000 for index in range(1, 13)}
    found = top(layers)
    assert [layer["name"] for layer in found] == [f"layer {index}" for index in range(12, 2, -1)]
    assert found[0] == {"name": "layer 12", "ms": pytest.approx(12.0), "share": pytest.approx(12 / 78)}
