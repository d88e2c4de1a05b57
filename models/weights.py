"""Weight files: safetensors and PyTorch checkpoints in, safetensors out, and the digest that identifies weights."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

_NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
_WRAPPERS = ("module.", "model.", "net.")
_COUNTER = "num_batches_tracked"
_KEYS_SHOWN = 8


class WeightsError(ValueError):
    """A weight file that is missing, unreadable, or for another network; the text says which."""


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a safetensors file or PyTorch checkpoint into `module`, whole or not at all; FP16 storage is widened.

    Checkpoints are read with `weights_only=True`; a state dict nested under a usual name and the prefixes that
    `DataParallel` (`module.`) and `torch.compile` (`_orig_mod.`) add are understood. Raises `WeightsError`.
    """
    wanted = module.state_dict()
    state = _unwrap(_read(path), wanted, path)
    problems = _mismatch(wanted, state)
    if problems:
        msg = f"{path}: the weights do not fit {type(module).__name__}: {'; '.join(problems)}"
        raise WeightsError(msg)
    module.load_state_dict({**wanted, **state})


def save_weights(
    module: nn.Module, path: Path, dtype: torch.dtype | None = None, metadata: Mapping[str, str] | None = None
) -> None:
    """Write the weights as safetensors, floating-point ones stored as `dtype`; the file appears whole or not at all.

    Batch counters are left out. Raises `WeightsError` when a weight is NaN or infinite, or becomes so in `dtype`.
    """
    state = {}
    for name, tensor in _identity(module).items():
        stored = tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
        if stored.is_floating_point() and not bool(torch.isfinite(stored).all()):
            msg = f"{path}: not written, because {name} is NaN or infinite in {stored.dtype}"
            raise WeightsError(msg)
        state[name] = stored.contiguous().clone()
    data = safetensors.torch.save(state, dict(metadata or {}))
    # In the same folder, for a rename to be atomic; opened by name, for the usual permissions.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def digest(module: nn.Module) -> str:
    """Return the SHA-256 (hex) over name, shape, dtype and bytes of all weights, sorted by name, counters left out."""
    total = hashlib.sha256()
    for name, tensor in sorted(_identity(module).items()):
        total.update(f"{name} {list(tensor.shape)} {tensor.dtype}\n".encode())
        total.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _identity(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights on the CPU, without batch counters: those change no result, and some writers drop them."""
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items() if not name.endswith(_COUNTER)}


def _read(path: Path) -> dict[Any, Any]:
    """Return what a weight file holds; `WeightsError` when it is missing or unreadable."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        msg = f"{path}: the weights cannot be read ({error.strerror}); give a safetensors file or a PyTorch checkpoint"
        raise WeightsError(msg) from error
    try:
        # A safetensors file is a length in 8 bytes and then JSON, whatever its name.
        if path.suffix == ".safetensors" or start[8:] == b"{":
            return dict(safetensors.torch.load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can make the reader raise anything
        # What PyTorch says after that is how to run the file's code, which the suite does not.
        reason = str(error).strip().partition("\n")[0].partition(" This file can")[0] or type(error).__name__
        what = "neither safetensors nor a checkpoint that torch.load(weights_only=True) accepts"
        msg = f"{path}: {what} ({reason}); give what torch.save(module.state_dict(), FILE) wrote"
        raise WeightsError(msg) from error
    if not isinstance(loaded, dict):
        msg = f"{path}: the checkpoint holds a {type(loaded).__name__}, not a state dict; save module.state_dict()"
        raise WeightsError(msg)
    return loaded


def _unwrap(loaded: dict[Any, Any], wanted: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the state dict inside a checkpoint, its keys freed of the prefixes that wrappers add.

    Tensors beside a nested one, as of a learning rate, are taken for a state dict only where a name of theirs fits.
    """
    state = _tensors(loaded, wanted)
    while not state.keys() & wanted.keys():
        nested = next((loaded[nest] for nest in _NESTS if isinstance(loaded.get(nest), dict)), None)
        if nested is None:
            break
        loaded = nested
        state = _tensors(loaded, wanted) or state
    if not state:
        keys = ", ".join(sorted(map(str, loaded))[:_KEYS_SHOWN]) or "none"
        expected = f"tensors at top level or under {', '.join(_NESTS)}"
        msg = f"{path}: no state dict found (expected {expected}; top-level keys: {keys})"
        raise WeightsError(msg)
    return state


def _tensors(loaded: dict[Any, Any], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of one level of a checkpoint, their names freed of the prefixes that all have."""
    state = {str(key).replace("_orig_mod.", ""): value for key, value in loaded.items() if isinstance(value, Tensor)}
    for _ in range(len(_WRAPPERS)):
        for prefix in _WRAPPERS:
            if all(key.startswith(prefix) for key in state) and not any(key.startswith(prefix) for key in wanted):
                state = {key[len(prefix) :]: value for key, value in state.items()}
    return state


def _mismatch(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Return what keeps the weights from fitting, one entry per kind of problem."""
    missing = sorted(key for key in wanted.keys() - state.keys() if not key.endswith(_COUNTER))
    unexpected = sorted(state.keys() - wanted.keys())
    shapes = [
        f"{key} (got {list(state[key].shape)}, expected {list(wanted[key].shape)})"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    kinds = [
        f"{key} (got {state[key].dtype}, expected {wanted[key].dtype})"
        for key in wanted
        if key in state
        and state[key].is_floating_point() != wanted[key].is_floating_point()
        and not key.endswith(_COUNTER)  # halved along with the weights by some writers
    ]
    found = {"missing keys": missing, "unexpected keys": unexpected, "wrong shapes": shapes, "wrong types": kinds}
    return [f"{len(keys)} {what}: {_few(keys)}" for what, keys in found.items() if keys]


def _few(keys: list[str]) -> str:
    """Return the first few entries for a message."""
    more = len(keys) - _KEYS_SHOWN
    return ", ".join(keys[:_KEYS_SHOWN]) + (f" and {more} more" if more > 0 else "")
