"""The U-Net that practitioners deploy: one grey channel in, two classes of logits out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 4
SIZE_MULTIPLE = 2**LEVELS


class SizeError(ValueError):
    """An input height or width that the network cannot halve four times."""


def check_size(height: int, width: int) -> None:
    """Raise `SizeError` unless height and width are positive multiples of 16 pixels."""
    if height <= 0 or width <= 0 or height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
        msg = (
            f"the U-Net halves its input {LEVELS} times, so height and width must be multiples of {SIZE_MULTIPLE}: "
            f"got {height}x{width} (crop or resize the image)"
        )
        raise SizeError(msg)


class DoubleConv(nn.Sequential):
    """Twice 3x3 convolution, batch norm and ReLU, at one resolution."""

    def __init__(self, in_channels: int, out_channels: int, mid_channels: int | None = None) -> None:
        mid = mid_channels or out_channels
        super().__init__(
            nn.Conv2d(in_channels, mid, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(mid),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Up(nn.Module):
    """Upsample x2, concatenate the skip connection, convolve twice."""

    def __init__(self, in_channels: int, out_channels: int, *, bilinear: bool) -> None:
        super().__init__()
        self.up: nn.Module
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(in_channels, out_channels, in_channels // 2)
        else:
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
            self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """Return the decoder's next feature map, at the resolution of `skip`."""
        joined: Tensor = self.conv(torch.cat([skip, self.up(below)], dim=1))
        return joined


class UNet(nn.Module):
    """U-Net after Ronneberger et al. (2015), padded convolutions, four levels.

    Input float [B, 1, H, W]; output float logits [B, 2, H, W]; H and W multiples of 16, else `SizeError`.
    `width` is the number of channels at full resolution. `bilinear` upsamples with align_corners and
    halves the channels of the deepest level, as in the common PyTorch version; otherwise transposed convolution.
    """

    def __init__(self, width: int = 64, *, bilinear: bool = True, in_channels: int = 1, classes: int = 2) -> None:
        super().__init__()
        shrink = 2 if bilinear else 1
        self.inc = DoubleConv(in_channels, width)
        self.pool = nn.MaxPool2d(2)
        self.down1 = DoubleConv(width, width * 2)
        self.down2 = DoubleConv(width * 2, width * 4)
        self.down3 = DoubleConv(width * 4, width * 8)
        self.down4 = DoubleConv(width * 8, width * 16 // shrink)
        self.up1 = Up(width * 16, width * 8 // shrink, bilinear=bilinear)
        self.up2 = Up(width * 8, width * 4 // shrink, bilinear=bilinear)
        self.up3 = Up(width * 4, width * 2 // shrink, bilinear=bilinear)
        self.up4 = Up(width * 2, width, bilinear=bilinear)
        self.outc = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [B, classes, H, W] for images [B, in_channels, H, W]."""
        if not torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call] # torch leaves it unexported
            check_size(x.shape[-2], x.shape[-1])
        x1 = self.inc(x)
        x2 = self.down1(self.pool(x1))
        x3 = self.down2(self.pool(x2))
        x4 = self.down3(self.pool(x3))
        x5 = self.down4(self.pool(x4))
        y = self.up1(x5, x4)
        y = self.up2(y, x3)
        y = self.up3(y, x2)
        y = self.up4(y, x1)
        logits: Tensor = self.outc(y)
        return logits


def unet() -> UNet:
    """Return the deployed U-Net: 64 wide, bilinear, 17.3 M parameters, weights not yet loaded."""
    return UNet(64)


def unet_small() -> UNet:
    """Return the U-Net for CPUs: 16 wide, bilinear, 1.1 M parameters, weights not yet loaded."""
    return UNet(16)
