"""Fitting a network to an image set, and scoring it: the part of training that knows no command line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from models.augment import Crops
from models.dice import dice, labels
from models.images import normalise

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from models.images import ImageSet

_WARM_UP_SHARE = 0.05
_WEIGHT_DECAY = 1e-4
_SETTLE_BATCHES = 32
_SCORE_BATCH = 4


class DivergedError(ArithmeticError):
    """Training whose weights make NaN or infinite logits."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: steps, crops per step, crop edge in pixels, highest learning rate, seed and device."""

    steps: int
    batch_size: int
    crop: int
    learning_rate: float
    seed: int
    device: torch.device


def fit(module: nn.Module, data: ImageSet, recipe: Recipe, report: Callable[[int, Tensor], None]) -> None:
    """Train `module` in place with AdamW and a cosine schedule, calling `report(step, loss)` after each step.

    The module is left in eval mode on the recipe's device. On CUDA it trains in bfloat16 autocast, channels last.
    """
    module.to(recipe.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    crops = Crops(data, recipe.crop, recipe.seed, recipe.device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=recipe.learning_rate, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: _rate(done, recipe.steps))
    for step in range(1, recipe.steps + 1):
        images, targets = crops.draw(recipe.batch_size)
        value = loss(_forward(module, images), targets)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        report(step, value.detach())
    _settle(module, crops, recipe.batch_size)
    module.eval()


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return cross entropy plus 1 - soft Dice of the classes but the background, a scalar.

    Logits float [B, C, H, W], targets int64 [B, H, W]. Soft Dice after Milletari et al., V-Net (2016), without squares.
    """
    logits = logits.float()
    entropy = functional.cross_entropy(logits, targets)
    chance = logits.softmax(dim=1)[:, 1:]
    truth = functional.one_hot(targets, logits.shape[1]).movedim(3, 1)[:, 1:].to(chance.dtype)
    common = (chance * truth).sum(dim=(0, 2, 3))
    total = (chance + truth).sum(dim=(0, 2, 3))
    overlap: Tensor = (2 * common + 1) / (total + 1)
    return entropy + 1 - overlap.mean()


def score(module: nn.Module, data: ImageSet) -> NDArray[np.float64]:
    """Return the Dice of the module's masks against the set's, float64 [N, classes]; the mode of the module is kept.

    Raises `DivergedError` where there are no masks to score, as logits are not finite.
    """
    if data.masks is None:
        msg = f"{data.origin}: scoring needs masks"
        raise ValueError(msg)
    device = next(module.parameters()).device
    training = module.training
    module.eval()
    scores = []
    for start in range(0, len(data.images), _SCORE_BATCH):
        part = slice(start, start + _SCORE_BATCH)
        images = torch.from_numpy(normalise(data.images[part])).to(device)
        with torch.inference_mode():
            logits = module(images).float().cpu().numpy()
        if not np.isfinite(logits).all():
            msg = f"NaN or infinite logits on {data.origin}"
            raise DivergedError(msg)
        scores.append(dice(labels(logits), data.masks[part].astype(np.uint8), logits.shape[1]))
    module.train(training)
    return np.concatenate(scores)


def _rate(done: int, steps: int) -> float:
    """Return the learning rate after `done` steps as a part of the highest: a linear rise, then half a cosine."""
    warm_up = max(1, round(steps * _WARM_UP_SHARE))
    if done < warm_up:
        return (done + 1) / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (done - warm_up) / max(1, steps - warm_up))


def _forward(module: nn.Module, images: Tensor) -> Tensor:
    """Return the logits, computed in bfloat16 where that is fast."""
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.device.type == "cuda"):
        logits: Tensor = module(images)
    return logits


def _settle(module: nn.Module, crops: Crops, batch_size: int) -> None:
    """Replace batch norm's running statistics, which trail behind the weights, by averages under the final weights."""
    norms = [part for part in module.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]  # noqa: SLF001
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # averages all batches equally
    module.train()
    with torch.no_grad():
        for _ in range(_SETTLE_BATCHES):
            _forward(module, crops.draw(batch_size)[0])
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
