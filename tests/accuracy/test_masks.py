"""Every engine's masks stay near the FP32 masks, near its own stored baseline, and at the precision it is named for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.engines import check_label
from bench.fidelity import judge
from bench.gate import dice_drift
from bench.limits import DICE

if TYPE_CHECKING:
    from bench.baseline import Baseline
    from bench.engines import OpenEngine
    from bench.fidelity import Fidelity, Reference
    from fixtures.artifacts import Workload
    from models.images import ImageSet


@pytest.fixture(scope="session")
def fidelity(opened: OpenEngine, images: ImageSet, reference: Reference) -> Fidelity:
    """How the case's masks compare, on every image; NaN or infinite logits fail here."""
    return judge(opened.engine, images, opened.case.batch_size, reference)


def test_engine_runs_at_the_precision_it_is_named_for(opened: OpenEngine) -> None:
    """The runtime's own account of its convolutions matches the case's label."""
    check_label(opened.case, opened.engine)


def test_masks_reach_the_floor_of_their_precision(opened: OpenEngine, fidelity: Fidelity) -> None:
    """The target's mean Dice against the FP32 masks is at least the precision's floor, whatever was stored."""
    mean = float(fidelity.fp32[:, 1:].mean())
    floor = DICE[opened.case.precision].floor
    assert mean >= floor, f"{opened.case}: mean Dice {mean:.5f} against FP32, floor {floor}"


def test_masks_have_not_drifted_from_the_baseline(
    opened: OpenEngine, fidelity: Fidelity, baseline: Baseline | None, workload: Workload
) -> None:
    """No image's Dice, of any class, is below its stored one by more than the allowed drift."""
    stored = baseline.find(opened.case.id, workload.network.digest, workload.images.digest) if baseline else None
    if stored is None:
        others = baseline.others(opened.case.id) if baseline else []
        pytest.skip(
            f"not comparable: the baseline's {opened.case} is of another model or image set"
            if others
            else f"no baseline for {opened.case} on this machine (make baseline stores one)"
        )
    drift, image = dice_drift(np.round(fidelity.fp32, 6).tolist(), stored.dice_fp32)
    allowed = DICE[opened.case.precision].drift
    assert drift <= allowed, f"{opened.case}: {fidelity.names[image]} lost {drift:.4f} Dice, {allowed} allowed"
