"""`torch.Tensor` as PyTorch made it, after torch2trt has given it methods of its own."""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_POINTER = ctypes.sizeof(ctypes.c_void_p)
_AS_SEQUENCE = 13 * _POINTER
"""Where `tp_as_sequence` is in CPython's `PyTypeObject`."""
_ITEM = 3 * _POINTER
"""Where `sq_item` is in CPython's `PySequenceMethods`."""


@contextmanager
def tensor_kept() -> Iterator[None]:
    """Leave the class as it was before the block.

    To convert a network torch2trt puts its own methods into the class, and then back what it found there, which had
    been inherited. By an own `__getitem__` CPython takes every tensor for a sequence, and by no later assignment no
    longer: `torch.tensor([torch.tensor(1)])` fails in this process from then on, and with it PyTorch's export of
    attention. Only emptying that slot of the class, and of those derived from it, undoes this.
    """
    own = set(vars(torch.Tensor))
    kinds = [kind for kind in _kinds(torch.Tensor) if not _item(kind)] if _known() else []
    try:
        yield
    finally:
        for name in set(vars(torch.Tensor)) - own:
            delattr(torch.Tensor, name)
        for kind in kinds:
            _item(kind).value = None


def _known() -> bool:
    """Whether this interpreter lays its classes out as above."""
    return sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")


def _kinds(kind: type) -> list[type]:
    """Return a class and all that are derived from it."""
    derived: list[type] = type.__subclasses__(kind)
    return [kind, *(each for child in derived for each in _kinds(child))]


def _item(kind: type) -> ctypes.c_void_p:
    """Return the class's slot for items of a sequence; false where it is empty."""
    methods = ctypes.c_void_p.from_address(id(kind) + _AS_SEQUENCE).value
    return ctypes.c_void_p.from_address(methods + _ITEM) if methods else ctypes.c_void_p()
