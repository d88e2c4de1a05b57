"""Random training crops: turned, mirrored, and changed in brightness, contrast, gamma and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.images import MEAN, STD

if TYPE_CHECKING:
    from torch import Tensor

    from models.images import ImageSet

_GAMMA = 0.3
_CONTRAST = 0.25
_BRIGHTNESS = 0.12
_NOISE = 0.04
_SYMMETRIES = 8


class Crops:
    """An endless supply of random crops of an image set that lies on the device, the same for the same seed."""

    def __init__(self, data: ImageSet, crop: int, seed: int, device: torch.device) -> None:
        if data.masks is None:
            msg = f"{data.origin}: training needs masks"
            raise ValueError(msg)
        self._images = torch.from_numpy(data.images).to(device)
        self._masks = torch.from_numpy(data.masks).to(device)
        self._crop = crop
        self._device = device
        # Choices are drawn on the CPU, so that every device sees the same crops; only noise is drawn where it is used.
        self._choices = torch.Generator().manual_seed(seed)
        self._noise = torch.Generator(device).manual_seed(seed)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Return `count` normalised crops, float32 [B, 1, C, C], and their target labels, int64 [B, C, C]."""
        total, height, width = self._images.shape
        index = self._below(total, count)
        rows = self._below(height - self._crop + 1, count)
        columns = self._below(width - self._crop + 1, count)
        symmetry = self._below(_SYMMETRIES, count)[:, None, None]
        span = torch.arange(self._crop, device=self._device)[None]
        rows = rows[:, None] + torch.where(symmetry[:, 0] & 1 > 0, self._crop - 1 - span, span)
        columns = columns[:, None] + torch.where(symmetry[:, 0] & 2 > 0, self._crop - 1 - span, span)
        place = (index[:, None, None], rows[:, :, None], columns[:, None, :])
        grey, mask = self._images[place].float() / 255, self._masks[place]
        # Mirroring both ways and transposing together give all eight turns and reflections of the square.
        turned = symmetry & 4 > 0
        grey = torch.where(turned, grey.transpose(1, 2), grey)
        mask = torch.where(turned, mask.transpose(1, 2), mask)
        return ((self._expose(grey) - MEAN) / STD)[:, None], mask.long()

    def _expose(self, grey: Tensor) -> Tensor:
        """Return the crops as if taken with other exposures, float32 [B, C, C] about 0 to 1."""
        gamma, contrast, brightness, noise = self._around_zero(4, len(grey))
        grey = grey.pow(1 + _GAMMA * gamma)
        grey = (grey - MEAN) * (1 + _CONTRAST * contrast) + MEAN + _BRIGHTNESS * brightness
        speckle = torch.randn(grey.shape, generator=self._noise, device=self._device)
        exposed: Tensor = grey + _NOISE * noise.abs() * speckle
        return exposed

    def _below(self, limit: int, count: int) -> Tensor:
        """Return random integers in [0, limit), int64 [count], on the device."""
        return torch.randint(limit, (count,), generator=self._choices).to(self._device)

    def _around_zero(self, kinds: int, count: int) -> Tensor:
        """Return random numbers in [-1, 1), float32 [kinds, count, 1, 1], on the device."""
        return (torch.rand((kinds, count, 1, 1), generator=self._choices) * 2 - 1).to(self._device)
