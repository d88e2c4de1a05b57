"""PyTorch compiled: `torch.compile` with channels-last tensors, and max-autotune with CUDA graphs on a GPU."""

from __future__ import annotations

import json
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch._inductor
from torch._inductor.compile_fx import compile_fx, compile_fx_inner

from bench.backends import _torch
from bench.backends._compiler_files import compiler_cache, copy_compiled, leave_probes, scratch
from bench.backends._torch import (
    HALF,
    PRECISIONS,
    TorchEngine,
    memory_errors,
    unsupported,
)
from bench.backends._torch_formats import TRANSPOSED, add_work, as_shares, prove_tf32

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.backend import Engine, Source
    from bench.case import Case

READS: Literal["module", "graph"] = "module"

_MODES = {"cpu": "default", "cuda": "max-autotune"}
_BY_LIBRARIES = {"fp32", "tf32"}
"""Precisions whose convolutions on a GPU are cuDNN's alone: Triton's take minutes each to compile in FP32."""
_FORMATS = "formats.json"
_CONVOLUTION = "aten.convolution.default"
_PACKED = {"mkldnn._convolution_pointwise.default": False, "mkldnn._convolution_transpose_pointwise.default": True}
"""oneDNN's convolutions, with weights packed for it, where weights are frozen on a CPU; whether each is transposed."""
_OPEN: set[Path] = set()
"""The folders of the loaded engines of this process, which a reset of the compiler would make compile again."""

__all__ = ["PRECISIONS", "READS", "build", "load", "recipe", "supports", "versions"]


def supports(case: Case, device: str) -> str | None:
    """Return why this machine cannot run the case, or None."""
    reason = unsupported(case, device)
    if reason is None and device == "cuda" and find_spec("triton") is None:
        return "PyTorch's compiler writes its GPU kernels in Triton, which is not installed (install triton)"
    return reason


def versions() -> dict[str, str]:
    """Return the versions that decide the compiled code: PyTorch's, and where there is a GPU, cuDNN's and Triton's."""
    found = _torch.versions()
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    if torch.cuda.is_available() and find_spec("triton") is not None:
        found["triton"] = str(import_module("triton").__version__)
    return found


def recipe(case: Case, device: str) -> dict[str, str]:
    """Return what decides the engine beside weights and versions."""
    made = {"mode": _MODES[device], "memory_format": "channels_last", "dynamic": "False", "half": "weights"}
    return made | {"convolutions": "libraries"} if by_libraries(case, device) else made


def by_libraries(case: Case, device: str) -> bool:
    """Return whether the case's convolutions are left to libraries, none of them written by the compiler."""
    return device == "cuda" and case.precision in _BY_LIBRARIES


def build(source: Source, case: Case, folder: Path) -> None:
    """Compile, and leave the compiler's own cache and the number formats of its graph in `folder`."""
    torch.set_num_threads(source.threads)
    flops = _GraphFlops()
    with memory_errors(case), scratch(folder.parent) as place:
        with compiler_cache(place):
            if source.device == "cpu":
                leave_probes(place)
            engine = _engine(source, case, flops, _reset)
            engine.enqueue()
            engine.synchronize()
            engine.close()
        copy_compiled(place, folder)
    (folder / _FORMATS).write_text(json.dumps(flops.shares()), encoding="utf-8")


def load(source: Source, case: Case, folder: Path) -> Engine:
    """Return the compiled network, run until its CUDA graph is captured.

    Its kernels are taken from a copy of `folder`, which lies beside it until the engine is closed.
    """
    torch.set_num_threads(source.threads)
    release = ExitStack()
    try:
        place = release.enter_context(scratch(folder.parent))
        # The compiler keeps modules alive in its own cache until it is reset.
        release.callback(_reset)
        _OPEN.add(place)
        release.callback(_OPEN.discard, place)
        copy_compiled(folder, place)
        with memory_errors(case), compiler_cache(place):
            engine = _engine(source, case, _GraphFlops(), release.close)
            for _ in range(3):
                engine.enqueue()
            engine.synchronize()
        engine.achieved = json.loads((folder / _FORMATS).read_text(encoding="utf-8"))
        prove_tf32(engine, case.precision, source.device)
    except BaseException:
        release.close()
        raise
    return engine


def _reset() -> None:
    if not _OPEN:
        torch.compiler.reset()


class _GraphFlops:
    """Counts convolution multiply-adds by number format in the graph that Inductor compiles."""

    def __init__(self) -> None:
        self._by_format: dict[str, float] = {}

    def compile(self, graph: torch.fx.GraphModule, inputs: Any, **options: Any) -> Any:  # noqa: ANN401 - Inductor's types
        """Count, then compile as Inductor would have."""
        for node in graph.graph.nodes:
            name = str(node.target)
            if name == _CONVOLUTION or name in _PACKED:
                transposed = node.args[TRANSPOSED] if name == _CONVOLUTION else _PACKED[name]
                image, weight = (_value(graph, each) for each in node.args[:2])
                add_work(self._by_format, image, weight, node.meta["val"], transposed=transposed)
        return compile_fx_inner(graph, inputs, **options)

    def shares(self) -> dict[str, float]:
        """Return each format's share of the work."""
        return as_shares(self._by_format)


def _engine(source: Source, case: Case, flops: _GraphFlops, release: Callable[[], object]) -> TorchEngine:
    """Return the network behind `torch.compile`; it compiles, or finds its kernels, at the first inference."""
    # Other cases' compiled code would count against the recompilation limit of the same forward.
    _reset()
    module = _Typed(source.module(), HALF.get(case.precision, torch.float32)).to(source.device)
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # a keyword torch leaves untyped
    options = torch._inductor.list_mode_options(_MODES[source.device])  # noqa: SLF001 - the documented mode query
    # A kernel inside the stored graph looks for its tuning at the absolute path where it was built; one from the
    # compiler's folder looks there.
    options["bundle_triton_into_fx_graph_cache"] = False
    if by_libraries(case, source.device):
        options["max_autotune_conv_backends"] = "ATEN"

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:  # noqa: ANN401 - Inductor's types
        return compile_fx(graph, inputs, inner_compile=flops.compile, config_patches=options)

    run: Callable[[torch.Tensor], torch.Tensor] = torch.compile(module, dynamic=False, backend=backend)
    engine = TorchEngine(case, source, run, torch.channels_last, release)
    engine.engine_bytes = sum(tensor.nbytes for tensor in module.state_dict().values())
    return engine


def _value(graph: torch.fx.GraphModule, node: torch.fx.Node) -> torch.Tensor:
    """Return a tensor of a node's shape and type: frozen weights are attributes of the graph, and may have no other."""
    found: torch.Tensor = node.meta["val"] if "val" in node.meta else getattr(graph, str(node.target))
    return found


class _Typed(torch.nn.Module):
    """The network with its weights in one format, which autocast would convert anew for every inference."""

    def __init__(self, network: torch.nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network.to(dtype).requires_grad_(requires_grad=False)
        self.dtype = dtype

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(image.to(self.dtype))
        return logits.float()
