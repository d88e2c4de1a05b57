"""What tells networks with equal weights apart: their classes' code, and what their layers and code depend on."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
import textwrap
from argparse import Namespace
from types import CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)
_OTHERS = {"torch", "numpy", "builtins", *sys.stdlib_module_names}
"""Packages whose code is no part of a network: their versions are in every engine's key."""
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
_INTERNAL = {"training", *vars(nn.Module())}
"""Attributes that every module has."""


def classes(module: nn.Module) -> str:
    """Return the code of the classes of a network's parts but PyTorch's own and Python's."""
    sources = set()
    for part in module.modules():
        kind = type(part)
        if not _foreign(kind):
            sources.add(f"{kind.__qualname__}\n{_source(kind)}")
    return "\n".join([type(module).__qualname__, *sorted(sources)])


def everything(module: nn.Module) -> str:
    """Return all of a network but its state dict that may change what it computes, as text.

    That is the code of its classes and of those that they derive from, with the functions and constants that it names;
    the settings of PyTorch's layers; plain attributes, tensors that no state dict holds, and hooks. Comments and layout
    do not count, nor does what the code reads when it runs, as from a file.
    """
    reader = _Reader()
    parts = [f"{name or '.'}: {reader.part(part)}" for name, part in module.named_modules()]
    return "\n".join([*parts, *sorted(reader.code)])


class _Reader:
    """Reads modules into text, and gathers the code that they depend on."""

    def __init__(self) -> None:
        self.code: set[str] = set()
        self._read: dict[int, Any] = {}
        """Classes and functions whose code is gathered, by identity."""
        self._within: set[int] = set()
        """Identities of the values that are being read."""

    def part(self, part: nn.Module) -> str:
        """Return one part's class and settings, without the parts in it."""
        kind, told = type(part), vars(part)
        if _foreign(kind):
            settings = dict(_arguments(part))
        else:
            self._class(kind)
            settings = {name: value for name, value in told.items() if name not in _INTERNAL}
        passing = {name: told["_buffers"][name] for name in sorted(told["_non_persistent_buffers_set"])}
        hooks = [hook for name in _HOOKS for hook in told.get(name, {}).values()]
        return f"{kind.__qualname__} {self.value(settings)} {self.value(passing)} {self.value(hooks)}"

    def value(self, value: Any) -> str:  # noqa: ANN401 - whatever a module may hold
        """Return a value as text that is the same in every process; of what has none, its type."""
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
            return _array(value)
        if id(value) in self._within:
            return "itself"
        self._within.add(id(value))
        try:
            return self._inner(value)
        finally:
            self._within.remove(id(value))

    def _inner(self, value: Any) -> str:  # noqa: ANN401, PLR0911 - as above, a kind after the other
        if isinstance(value, (set, frozenset)):
            return f"{{{', '.join(sorted(map(self.value, value)))}}}"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(self.value, value))}]"
        if isinstance(value, dict):
            return f"{{{', '.join(f'{self.value(key)}: {self.value(item)}' for key, item in value.items())}}}"
        if isinstance(value, nn.Module):
            return self.part(value)
        if isinstance(value, functools.partial):
            return f"partial {self.value(value.func)} {self.value(value.args)} {self.value(value.keywords)}"
        if isinstance(value, MethodType):
            return f"{self.value(value.__func__)} of {self.value(value.__self__)}"
        if isinstance(value, (FunctionType, type)):
            self.gather(value)
            return value.__qualname__
        # What Python's and PyTorch's own objects hold, as a logger's, differs from process to process.
        own = isinstance(value, (SimpleNamespace, Namespace)) or not _foreign(type(value))
        return f"{type(value).__qualname__} {self.value(dict(getattr(value, '__dict__', {}))) if own else ''}"

    def gather(self, value: FunctionType | type) -> None:
        """Gather the code of a function or a class, unless it is PyTorch's, NumPy's or Python's own."""
        if isinstance(value, type):
            self._class(value)
        elif not _foreign(value) and id(value) not in self._read:
            self._read[id(value)] = value
            self.code.add(f"{value.__qualname__}\n{_source(value)}")
            self._dependencies(value)

    def _class(self, kind: type) -> None:
        """Gather the code of a class and of those that it derives from."""
        for each in kind.__mro__:
            if not _foreign(each) and id(each) not in self._read:
                self._read[id(each)] = each
                self.code.add(f"{each.__qualname__}\n{_source(each)}")
                for member in vars(each).values():
                    function = getattr(member, "__func__", getattr(member, "fget", member))
                    if isinstance(function, FunctionType):
                        self._dependencies(function)

    def _dependencies(self, function: FunctionType) -> None:
        """Gather what a function's code names: what it closes over, its defaults, and globals, of modules too."""
        names = _names(function.__code__)
        found = {name: function.__globals__[name] for name in names & function.__globals__.keys()}
        for module in [each for each in found.values() if isinstance(each, ModuleType) and not _foreign(each)]:
            found |= {f"{module.__name__}.{name}": vars(module)[name] for name in names & vars(module).keys()}
        found |= {f"cell {place}": _content(cell) for place, cell in enumerate(function.__closure__ or ())}
        found |= {"defaults": function.__defaults__, "named": function.__kwdefaults__}
        for name, each in found.items():
            value = inspect.unwrap(each) if callable(each) else each
            if isinstance(value, (FunctionType, type)):
                self.gather(value)
            elif not isinstance(value, ModuleType):
                self.code.add(f"{function.__qualname__} {name} = {self.value(value)}")


def _content(cell: Any) -> Any:  # noqa: ANN401 - CPython's cell
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet, as for a class that names itself
        return None


def _names(code: CodeType) -> set[str]:
    """Return the names that code and the code within it look up."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return {*code.co_names, *(name for each in inner for name in _names(each))}


def _foreign(thing: Any) -> bool:  # noqa: ANN401 - a class, function or module
    """Whether code is PyTorch's, NumPy's or Python's own."""
    name = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None) or ""
    return name.partition(".")[0] in _OTHERS


def _arguments(part: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the settings that one of PyTorch's layers was made with, but those at their defaults."""
    parameters: Mapping[str, inspect.Parameter] = inspect.signature(type(part).__init__).parameters
    for name, parameter in parameters.items():
        if name in vars(part) and vars(part)[name] is not parameter.default:
            yield name, vars(part)[name]


def _source(code: type | Callable[..., Any]) -> str:
    """Return code parsed and written out again, so that comments and layout do not count; "" where there is none."""
    try:
        text = textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError):
        return ""
    try:
        return ast.unparse(ast.parse(text))
    except SyntaxError:  # part of a statement, as of a lambda
        return " ".join(text.split())


def _array(value: torch.Tensor | np.ndarray[Any, Any] | np.generic) -> str:
    """Return the type, shape and digest of an array."""
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_meta:
            return f"{value.dtype} {tuple(value.shape)}"
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        content = np.ascontiguousarray(value).tobytes()
    return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(content).hexdigest()}"
