"""On a GPU each trial builds, runs, and gives the masks of the plain engine; where TensorRT refuses, it says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.case import Case
from bench.contest import try_variants
from bench.reference import reference_masks
from bench.variants import combined, offered
from tests.bench.networks import sections, skip_unless_it_runs, tiny_source

if TYPE_CHECKING:
    from pathlib import Path

TRIALS = ("uint8-input+mask", "argmax", "io-fp16", "io-hwc8")
"""Every end once, two of them together: a build takes half a minute."""


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt_weak"])
def test_trials_give_the_masks_of_the_plain_engine(backend: str, tmp_path: Path) -> None:
    case = Case(backend, "int8", 2)
    skip_unless_it_runs(case)
    source = tiny_source(tmp_path, device="cuda")
    images = sections("held-out", 3)
    chosen = [combined(name, offered(case, "cuda")) for name in TRIALS]
    plain, *found = try_variants(source, case, chosen, images, reference_masks(source, images), turns=3)
    assert plain.figures is not None
    assert plain.figures.layers
    assert {each.name: each.fault for each in found} == dict.fromkeys(TRIALS)
    for each in found:
        assert each.figures is not None
        assert abs(each.figures.dice_fp32 - plain.figures.dice_fp32) < 0.02, each.name
