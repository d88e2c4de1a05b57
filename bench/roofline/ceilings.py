"""The machine's ceilings, measured: the best matrix product at each number format, and copying memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import torch

from bench.backend import UnavailableError, load_backend, names
from bench.timing import call_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Product = Callable[[], object]

_TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SIZES = {"cpu": (384, 512, 768, 1536, 2304), "cuda": (2048, 4096, 8192, 16384)}
"""Square matrices tried, until one product takes `_ENOUGH_S`.

On a CPU no large powers of two, whose rows meet in the same places of a cache: on two cores of an AMD EPYC, in FP32,
ONNX Runtime multiplied 1024 at 138 to 197 GFLOP/s, 1008 and 1040 at 209 to 222, and 512, which stays in cache, at up to
231. More cores need more to do.
"""
_ENOUGH_S = {"cpu": 0.02, "cuda": 0.1}
_REPEATS = 5
_BURST_S = {"cpu": 0.05, "cuda": 0.0}
"""Repeats go on so long: the first after another library's products are often slower (PyTorch's 172 against 202)."""
_COPY_BYTES = {"cpu": 1 << 27, "cuda": 1 << 30}
_FP8_AS_FAST_AS_INT8 = ((8, 9), (9, 0))
"""Compute capabilities whose tensor cores multiply FP8 at the rate of INT8 (NVIDIA's Ada and Hopper papers).

PyTorch's own INT8 product reaches three quarters of its FP8 one there: 1033 and 1421 TOP/s on an H100.
"""


@runtime_checkable
class OffersProduct(Protocol):
    """A backend whose library multiplies matrices on some device, faster there than PyTorch perhaps.

    PyTorch's product alone is no ceiling: on an AMD CPU its FP32 product is MKL's, which convolutions overtook.
    """

    def product(self, arithmetic: str, device: str, threads: int, extent: int) -> Product | None:
        """Return a function that multiplies two square matrices, or None where the library offers nothing.

        The matrices are of ones, which a CPU multiplies no faster than random values, and the function returns the
        product, so that a test can tell that it is one.
        """


def ceilings(device: str, threads: int, arithmetics: Iterable[str]) -> dict[str, float]:
    """Return FLOP/s of the best square matrix product per format, and `copy_bytes_per_s`, bytes read plus written.

    For `int8` an operation is an 8-bit multiplication or the addition after it, of FP8 where that is as fast.
    """
    found = {}
    with _threads(threads):
        for arithmetic in arithmetics:
            speed = max((_flops_per_s(make, device) for make in _makers(arithmetic, device, threads)), default=0.0)
            if speed:
                found[arithmetic] = speed
        found["copy_bytes_per_s"] = _copy_bytes_per_s(device)
    return found


def _makers(arithmetic: str, device: str, threads: int) -> list[Callable[[int], Product | None]]:
    """Return every way to make a product of matrices of a given extent."""
    makers: list[Callable[[int], Product | None]] = [lambda extent: _torch_product(arithmetic, device, extent)]
    if arithmetic == "int8" and device == "cuda" and torch.cuda.get_device_capability() in _FP8_AS_FAST_AS_INT8:
        makers.append(_fp8_product)
    for name in names():
        try:
            backend = load_backend(name)
        except UnavailableError:
            continue
        if isinstance(backend, OffersProduct):
            offer = cast("OffersProduct", backend).product
            makers.append(lambda extent, offer=offer: offer(arithmetic, device, threads, extent))  # type: ignore[misc]
    return makers


def _torch_product(arithmetic: str, device: str, extent: int) -> Product | None:
    if arithmetic == "int8":
        a = torch.randint(-127, 128, (extent, extent), dtype=torch.int8, device=device)
        return lambda: torch._int_mm(a, a.t())  # noqa: SLF001 - PyTorch's only INT8 product with 32-bit sums
    if arithmetic not in _TYPES:
        return None
    # Random values: a GPU multiplies constants faster than any network's data, since fewer bits switch.
    b = torch.randn((extent, extent), device=device).to(_TYPES[arithmetic])
    out = torch.empty_like(b)

    def multiply() -> None:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = arithmetic == "tf32"
        try:
            torch.mm(b, b, out=out)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before

    return multiply


def _fp8_product(extent: int) -> Product:
    """Return a product of FP8 matrices on the GPU: what its 8-bit tensor cores give, by a better kernel."""
    a = torch.randn((extent, extent), device="cuda").to(torch.float8_e4m3fn)
    one = torch.ones((), device="cuda")
    # The second matrix must lie column by column; a private name, but the only way to this product.
    return lambda: torch._scaled_mm(a, a.t(), one, one, out_dtype=torch.bfloat16)  # noqa: SLF001


def _flops_per_s(make: Callable[[int], Product | None], device: str) -> float:
    best = 0.0
    for extent in _SIZES[device]:
        product = make(extent)
        if product is None:
            return best
        _timed_s(product, device)
        seconds = _least_s(product, device)
        best = max(best, 2.0 * extent**3 / seconds)
        if seconds > _ENOUGH_S[device]:
            break
    return best


def _least_s(product: Product, device: str) -> float:
    """Return the shortest of the repeats."""
    seconds: list[float] = []
    while len(seconds) < _REPEATS or sum(seconds) < _BURST_S[device]:
        seconds.append(_timed_s(product, device))
    return min(seconds)


def _copy_bytes_per_s(device: str) -> float:
    source = torch.ones(_COPY_BYTES[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    _timed_s(lambda: target.copy_(source), device)
    return 2.0 * source.nbytes / min(_timed_s(lambda: target.copy_(source), device) for _ in range(_REPEATS))


def _timed_s(work: Product, device: str) -> float:
    def finished() -> None:
        work()
        if device == "cuda":
            torch.cuda.synchronize()

    return call_s(finished)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
