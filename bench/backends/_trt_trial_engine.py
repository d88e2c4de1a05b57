"""A plan with any ends behind the engine contract: raw pixels in, masks out, FP16, channels last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorrt as trt
from pycuda import driver

from bench.backend import BuildError, as_batch
from bench.backends._trt_ends import End
from bench.backends._trt_run import TensorRTEngine, load_as

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from bench.backend import Source
    from bench.case import Case


def load(source: Source, case: Case, folder: Path) -> TrialEngine:
    """Return the engine of the plan in `folder` after its first inference; `BuildError`, `OutOfMemoryError`."""
    return load_as(TrialEngine, source, case, folder)


class TrialEngine(TensorRTEngine):
    """A plan whose ends hold other types or layouts than float32 in rows.

    What an end holds is converted on the host, in `copy_in` and `copy_out`: what is timed between two synchronizes is
    the plan alone, as of any engine.
    """

    def __init__(self, batch_size: int, engine_bytes: int) -> None:
        super().__init__(batch_size, engine_bytes)
        self._ends: dict[str, End] = {}
        """Input and output by name, in the order of the buffers."""

    def copy_in(self, batch: NDArray[np.float32]) -> None:
        """Copy normalised images, float32 [B, 1, H, W], to the device as the plan takes them; synchronizes."""
        end = self._ends[self._tensors[0]]
        end.put(as_batch(batch, end.shape), self._host[0])
        driver.memcpy_htod_async(self._device[0], self._host[0], self._stream)
        self._stream.synchronize()

    def copy_out(self) -> NDArray[np.float32]:
        """Return the last inference's logits, float32 [B, classes, H, W]; of masks, 1 for the class; synchronizes."""
        driver.memcpy_dtoh_async(self._host[1], self._device[1], self._stream)
        self._stream.synchronize()
        return self._ends[self._tensors[1]].get(self._host[1])

    def open_lane(self, buffers: int) -> None:
        """Return no lane: what goes in and comes out is not what a lane on the device fills and reads."""

    def _names(self, shape: tuple[int, ...]) -> tuple[str, str]:
        """Return the names of the input and the output, after proving that the images fit."""
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        if len(inputs) != 1 or len(outputs) != 1:
            msg = f"the plan does not map one tensor to another: {', '.join(names)}"
            raise BuildError(msg)
        image, output = self._end(inputs[0]), self._end(outputs[0])
        if image.shape != shape:
            msg = f"the plan takes images {image.shape}, and the case needs {shape}"
            raise BuildError(msg)
        self._ends = {image.name: image, output.name: output}
        return image.name, output.name

    def _stored(self, name: str) -> tuple[tuple[int, ...], DTypeLike]:
        """Return how a tensor lies in memory: its shape there, and its type."""
        return self._ends[name].stored_shape, self._ends[name].dtype

    def _end(self, name: str) -> End:
        form = self._engine.get_tensor_format(name)
        if form not in (trt.TensorFormat.LINEAR, trt.TensorFormat.HWC8):
            msg = f"{name}: no way to fill or read the layout {form}"
            raise BuildError(msg)
        dtype = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name)))
        shape = tuple(self._engine.get_tensor_shape(name))
        return End(name, shape, dtype, packed=form == trt.TensorFormat.HWC8)
