"""The lane of an engine on a GPU: uint8 goes in and uint8 comes back, and copies overlap with inference."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.stream.masks import normalise_into

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from bench.stream.laps import Laps

_DEPTH = 3
"""Batches under way: one copied in, one computed, one copied out."""
_LEVELS = 256


@dataclass(frozen=True, slots=True)
class OnDevice:
    """An engine's input and its inference as PyTorch sees them."""

    stream: torch.cuda.Stream
    """Where the engine computes."""
    image: Tensor
    """The engine's input, float32 [B, 1, H, W], at an address that stays."""
    infer: Callable[[], Tensor]
    """Puts one inference on `stream`, the current one, and returns its logits, float32 [B, classes, H, W]."""
    capturable: bool
    """Whether `infer` can be captured in a CUDA graph, logits at an address that stays."""


class CudaLane:
    """Normalises, infers and takes the argmax on the device, all replayed as one CUDA graph where that works.

    Each batch under way has a slot: its pixels and masks on the device and the page-locked memory that its masks come
    back to. Copies in, computing and copies out each have a stream, and events order them. Nothing is allocated once
    the lane is open, but by an engine that cannot be captured.
    """

    values = None
    depth = _DEPTH

    def __init__(self, engine: OnDevice, buffers: int) -> None:
        batch, _, height, width = engine.image.shape
        shape, device = (batch, height, width), engine.image.device
        self._engine = engine
        self._in, self._out = torch.cuda.Stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._ring = [_page_locked(shape, torch.uint8, device) for _ in range(buffers + _DEPTH)]
        self.pixels: list[NDArray[np.uint8]] = [buffer.numpy() for buffer in self._ring]
        table = np.empty(_LEVELS, np.float32)
        normalise_into(np.arange(_LEVELS, dtype=np.uint8), table)
        self._table = torch.from_numpy(table).to(device)
        self._places = torch.zeros(shape, dtype=torch.int64, device=device)
        self._free = deque(_Slot(shape, device) for _ in range(_DEPTH))
        self._under_way: deque[_Slot] = deque()
        torch.cuda.synchronize()
        for slot in self._free:
            self._prepare(slot)

    def submit(self, index: int, laps: Laps) -> None:
        """Start the batch in one buffer of the ring: three streams are given their work, nothing is waited for."""
        slot = self._free.popleft()
        with torch.cuda.stream(self._in):
            slot.pixels.copy_(self._ring[index], non_blocking=True)
            slot.arrived.record()
        laps.lap("copy_in")
        with torch.cuda.stream(self._engine.stream):
            self._engine.stream.wait_event(slot.arrived)
            if slot.graph is None:
                self._compute(slot)
            else:
                slot.graph.replay()
            slot.computed.record()
        laps.lap("infer")
        with torch.cuda.stream(self._out):
            self._out.wait_event(slot.computed)
            slot.host_masks.copy_(slot.masks, non_blocking=True)
            slot.host_extremes.copy_(slot.extremes, non_blocking=True)
            slot.returned.record()
        laps.lap("copy_out")
        self._under_way.append(slot)

    def collect(self, index: int, laps: Laps) -> tuple[NDArray[np.uint8], int | None]:  # noqa: ARG002 - the oldest comes first
        """Wait for the oldest batch under way; what is waited for is the inference, then the copy."""
        slot = self._under_way.popleft()
        slot.computed.synchronize()
        laps.lap("infer")
        slot.returned.synchronize()
        laps.lap("copy_out")
        self._free.append(slot)
        finite = np.isfinite(slot.host_extremes.numpy()).all(axis=0)
        bad = None if finite.all() else int(np.flatnonzero(~finite)[0])
        masks: NDArray[np.uint8] = slot.host_masks.numpy()
        return masks, bad

    def close(self) -> None:
        """Wait for what is under way and release the buffers; calling it again does nothing."""
        torch.cuda.synchronize()
        self._free.clear()
        self._under_way.clear()
        self.pixels, self._ring = [], []
        torch.cuda.empty_cache()

    def _prepare(self, slot: _Slot) -> None:
        """Run the slot's work once, and capture it as a CUDA graph where the engine allows that."""
        with torch.cuda.stream(self._engine.stream):
            self._compute(slot)
        self._engine.stream.synchronize()
        if not self._engine.capturable:
            return
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._engine.stream, capture_error_mode="thread_local"):
            self._compute(slot)
        slot.graph = graph

    def _compute(self, slot: _Slot) -> None:
        """Put a slot's inference on the current stream: pixels to values, values to logits, logits to masks."""
        with torch.no_grad():
            # A table made on the host: every value is, bit for bit, the one that the accuracy path computes.
            self._places.copy_(slot.pixels)
            torch.take(self._table, self._places, out=self._engine.image.view_as(self._places))
            logits = self._engine.infer()
            label_into(logits, slot.masks)
            # As the logits lie in memory, channels last or not, so that nothing is copied and all are read once.
            flat = logits if logits.is_contiguous() else logits.permute(0, 2, 3, 1)
            torch.aminmax(flat.flatten(1), dim=1, out=(slot.extremes[0], slot.extremes[1]))


def label_into(logits: Tensor, masks: Tensor) -> None:
    """Write the labels of logits [B, C, H, W] to uint8 [B, H, W], the lowest class where logits tie.

    One class is a mask where its logit is above 0. All on the device of the tensors.
    """
    classes = logits.shape[1]
    if classes == 1:
        torch.gt(logits[:, 0], 0, out=masks.view(torch.bool))
    elif classes == 2:  # noqa: PLR2004 - two classes need no argmax
        torch.gt(logits[:, 1], logits[:, 0], out=masks.view(torch.bool))
    else:
        masks.copy_(torch.argmax(logits, dim=1))


class _Slot:
    """The memory and the events of one batch under way."""

    def __init__(self, shape: tuple[int, int, int], device: torch.device) -> None:
        self.pixels = torch.zeros(shape, dtype=torch.uint8, device=device)
        self.masks = torch.zeros(shape, dtype=torch.uint8, device=device)
        self.extremes = torch.zeros((2, shape[0]), device=device)
        """Lowest and highest logit of each image: NaN and infinity show in them."""
        self.host_masks = _page_locked(shape, torch.uint8, device)
        self.host_extremes = _page_locked((2, shape[0]), torch.float32, device)
        self.arrived, self.computed, self.returned = (torch.cuda.Event() for _ in range(3))  # type: ignore[no-untyped-call]
        self.graph: torch.cuda.CUDAGraph | None = None


def _page_locked(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return host memory that a GPU copies from and to by itself."""
    return torch.zeros(shape, dtype=dtype, pin_memory=device.type == "cuda")
