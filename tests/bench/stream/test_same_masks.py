"""Over ten thousand distinct images the stream's masks are bit for bit those of the accuracy path, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
import torch

from bench.backend import UnavailableError, load_backend, names
from bench.case import Case
from bench.engines import open_engine
from bench.fidelity import predict
from bench.stream.images import MemoryImages
from bench.stream.lane import open_lane
from bench.stream.loop import stream
from tests.bench.networks import as_network, quick, sections, tiny_source, two_convolutions
from tests.bench.stream.helpers import distinct

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DEVICE: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
SIZE = (16, 16)
SAMPLES = 10_003
BATCH_SIZE = 64


def offered(precision: str) -> list[str]:
    """Return the backends that run a precision here, but for the one that compiles for long."""
    found = []
    for name in names():
        try:
            backend = load_backend(name)
        except UnavailableError:
            continue
        if name != "torch_compile" and precision in backend.PRECISIONS:
            case = Case(name, precision, BATCH_SIZE)
            found += [name] if backend.supports(case, DEVICE) is None else []
    return found


@pytest.mark.parametrize(
    ("backend", "precision"),
    [(name, precision) for precision in ("fp32", "fp16", "int8") for name in offered(precision)],
)
def test_ten_thousand_masks_are_those_of_the_accuracy_path(tmp_path: Path, backend: str, precision: str) -> None:
    images = distinct(SAMPLES, SIZE)
    calibration = sections("calibration", 2, SIZE)
    source = tiny_source(tmp_path, as_network(two_convolutions()), calibration=calibration, size=SIZE, device=DEVICE)
    found = np.empty((SAMPLES, *SIZE), np.uint8)
    expected_next = iter(range(SAMPLES))

    def keep(index: int, name: str, mask: NDArray[np.uint8]) -> None:
        assert index == next(expected_next)
        assert name == images.names[index]
        found[index] = mask

    with quick(), open_engine(source, Case(backend, precision, BATCH_SIZE)) as opened:
        wanted, _ = predict(opened.engine, images, BATCH_SIZE)
        lane = open_lane(opened.engine, BATCH_SIZE, SIZE, 4)
        result = stream(MemoryImages(images, SAMPLES), lane, keep, workers=2, humble=True)
    assert result.done == SAMPLES
    assert len({mask.tobytes() for mask in wanted}) > SAMPLES * 0.99
    np.testing.assert_array_equal(found, wanted)
