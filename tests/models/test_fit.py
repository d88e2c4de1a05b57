"""Fitting learns, repeats bit for bit, leaves sound statistics, and sees crops that match their masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from models.augment import Crops
from models.fit import Recipe, fit, loss, score
from models.images import ImageSet
from models.network import untrained
from models.unet import UNet
from models.weights import digest

if TYPE_CHECKING:
    from torch import Tensor

CPU = torch.device("cpu")


def _fit(module: nn.Module, data: ImageSet, steps: int, seed: int = 0) -> list[float]:
    losses: list[float] = []

    def report(step: int, value: Tensor) -> None:
        assert step == len(losses) + 1
        losses.append(float(value))

    fit(module, data, Recipe(steps, 4, 64, 4e-3, seed, CPU), report)
    return losses


@pytest.mark.usefixtures("one_thread")
def test_loss_falls_and_dice_rises(sections: ImageSet) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = UNet(8)
    before = score(module, sections)[:, 1].mean()
    losses = _fit(module, sections, 25)
    assert np.mean(losses[-5:]) < 0.9 * losses[0]
    assert score(module, sections)[:, 1].mean() > max(0.5, before)


@pytest.mark.usefixtures("one_thread")
def test_same_seed_gives_the_same_weights_bit_for_bit_and_another_seed_others(sections: ImageSet) -> None:
    digests = []
    for seed in (0, 0, 1):
        module = untrained("unet-small")
        _fit(module, sections, 2, seed)
        digests.append(digest(module))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.usefixtures("one_thread")
def test_running_statistics_fit_the_final_weights(sections: ImageSet) -> None:
    module = untrained("unet-small")
    _fit(module, sections, 3)
    assert not module.training
    images, targets = Crops(sections, 96, 99, CPU).draw(8)
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    with torch.no_grad():
        running = loss(module(images), targets)
        module.train()
        of_batch = loss(module(images), targets)
        module.eval()
        for norm in norms:
            norm.reset_running_stats()
        unset = loss(module(images), targets)
    assert abs(running - of_batch) < 0.25 * abs(unset - of_batch)


def test_loss_is_near_zero_for_the_truth_and_large_for_its_opposite() -> None:
    targets = torch.randint(2, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    right = nn.functional.one_hot(targets, 2).movedim(3, 1).float() * 40 - 20
    assert loss(right, targets) < 0.01
    assert loss(-right, targets) > 10


def test_crops_keep_image_and_mask_together_and_use_all_eight_symmetries() -> None:
    grey = np.zeros((1, 32, 32), dtype=np.uint8)
    grey[0, :4, :9] = 255
    crops = Crops(ImageSet(("a",), grey, grey > 0, "here"), 32, 0, CPU)
    images, targets = crops.draw(256)
    assert (images.shape, targets.dtype) == ((256, 1, 32, 32), torch.int64)
    inside, outside = (images[:, 0] * targets).sum((1, 2)) / 36, (images[:, 0] * (1 - targets)).sum((1, 2)) / 988
    assert (inside > outside + 1).all()
    assert len({tuple(target.flatten().tolist()) for target in targets}) == 8
