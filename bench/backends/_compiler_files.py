"""What torch.compile leaves on disk: used from a copy of this process's own, so that nothing changes what is stored."""

from __future__ import annotations

import inspect
import json
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import torch
from filelock import FileLock, Timeout
from torch._inductor import cpu_vec_isa
from torch._inductor.async_compile import shutdown_compile_workers
from torch._inductor.utils import clear_caches

if TYPE_CHECKING:
    from collections.abc import Iterator

_INDUCTOR, _TRITON = "torchinductor", "triton"
_VARIABLES = {"TORCHINDUCTOR_CACHE_DIR": _INDUCTOR, "TRITON_CACHE_DIR": _TRITON}
_SCRATCH = ".compiling-"
_PASSING = ("locks", "*.lock", "tmp.*", ".*.tmp")
"""Inductor's locks, and the folders and files that Triton and Inductor write into before they rename them."""
_PROBES: dict[str, bytes] = {}
"""Files of the trial compilations by which Inductor learns of the CPU's vector units, once in a process."""


@contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """Yield an empty folder in `beside`, removed at the end of the block; those of processes that died go too."""
    beside = beside.resolve()
    _sweep(beside)
    folder = beside / f"{_SCRATCH}{uuid4().hex[:12]}"
    # Locked before it is there: another process takes what nobody holds for the remains of a dead one.
    with FileLock(f"{folder}.lock", thread_local=False):
        folder.mkdir()
        try:
            yield folder
        finally:
            _remove(folder)


@contextmanager
def compiler_cache(folder: Path) -> Iterator[None]:
    """Make the compiler and its worker processes keep everything they make in `folder` while the block runs."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update({variable: str(folder / name) for variable, name in _VARIABLES.items()})
    # A kernel that this process has in memory from another engine would not be written to this engine's folder.
    clear_caches()
    try:
        yield
    finally:
        # Workers that compile GPU kernels live on with the folder they were started for: the next case needs new ones.
        if torch.cuda.is_available():
            shutdown_compile_workers()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def leave_probes(folder: Path) -> None:
    """Leave the probes of the CPU's vector units in a folder that is the compiler's cache.

    Inductor makes them once in a process: without this, only the first engine that a process built would have them.
    """
    cache = folder / _INDUCTOR
    if not _PROBES:
        for holder in (cpu_vec_isa, *filter(inspect.isclass, vars(cpu_vec_isa).values())):
            for member in vars(holder).values():
                if hasattr(member, "cache_clear"):
                    member.cache_clear()
        cpu_vec_isa.pick_vec_isa()
        _PROBES.update({str(path.relative_to(cache)): path.read_bytes() for path in cache.rglob("*") if path.is_file()})
    for name, data in _PROBES.items():
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_bytes(data)


def copy_compiled(source: Path, target: Path) -> None:
    """Copy a compiler's cache, but no locks and nothing half written, and let Triton's lists of files name the copies.

    Triton finds a compiled kernel by such a list, `__grp__NAME.json`, which holds absolute paths.
    """
    for name in _VARIABLES.values():
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns(*_PASSING))
    for path in (target / _TRITON).rglob("__grp__*.json"):
        group = json.loads(path.read_text(encoding="utf-8"))
        group["child_paths"] = {
            name: str(path.with_name(Path(child).name)) for name, child in group["child_paths"].items()
        }
        path.write_text(json.dumps(group), encoding="utf-8")


def _sweep(beside: Path) -> None:
    for lock in beside.glob(f"{_SCRATCH}*.lock"):
        with suppress(Timeout, PermissionError), FileLock(lock, timeout=0):
            _remove(lock.with_suffix(""))


def _remove(folder: Path) -> None:
    """Remove a scratch folder whose lock is held, then the lock's file; what resists is left to the next sweep."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        Path(f"{folder}.lock").unlink(missing_ok=True)
