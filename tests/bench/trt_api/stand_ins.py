"""Recording stand-ins of TensorRT's objects, made from the real bindings: they accept what the real ones accept.

A builder cannot be made without a GPU, but its class is there, with the signature of each method in its docstring.
A stand-in looks every name up in the real class, checks arguments against the signatures, refuses to set what cannot
be set, and returns stand-ins of the classes that the signatures promise.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_MADE = ("Builder", "OnnxParser", "Runtime")
"""Classes that the code makes itself, and that need the real library."""
_ALIASES = {"IEngineInspector": "EngineInspector", "IParserError": "ParserError"}


class ApiError(Exception):
    """A use of TensorRT that this version does not have."""


class Recorder:
    """A version of TensorRT: its real module, what its stand-ins return where it matters, and what was used."""

    def __init__(self, real: ModuleType) -> None:
        self.real = real
        self.overrides: dict[tuple[str, str], Any] = {}
        self.used: set[str] = set()

    def module(self) -> ModuleType:
        """Return `tensorrt` as a module to put into `sys.modules`."""
        recorder = self

        class Module(ModuleType):
            def __getattr__(self, name: str) -> Any:
                if not hasattr(recorder.real, name):
                    msg = f"TensorRT {recorder.real.__version__} has no {name}"
                    raise AttributeError(msg)
                recorder.used.add(name)
                return recorder.maker(name) if name in _MADE else getattr(recorder.real, name)

        return Module("tensorrt")

    def maker(self, name: str) -> Callable[..., Any]:
        """Return what stands for a class that the code makes objects of."""
        cls = getattr(self.real, name)

        def make(*arguments: Any, **named: Any) -> StandIn:
            check_call(self, f"{name}.__init__", cls.__init__.__doc__ or "", arguments, named)
            return StandIn(self, cls)

        return make

    def value(self, owner: str, name: str, annotation: str) -> Any:
        """Return what a property or method of this class and name gives, told or by its annotation."""
        if (owner, name) in self.overrides:
            return self.overrides[owner, name]
        short = _ALIASES.get(_short(annotation), _short(annotation))
        cls = getattr(self.real, short, None)
        if isinstance(cls, type):
            members = getattr(cls, "__members__", None)
            return next(iter(members.values())) if members else StandIn(self, cls)
        return {"bool": True, "int": 1, "str": "", "float": 1.0}.get(short)


class StandIn:
    """An object of a real class that was never made."""

    def __init__(self, recorder: Recorder, cls: type) -> None:
        self.__dict__.update({"_recorder": recorder, "_class": cls, "_set": {}})

    def __getattr__(self, name: str) -> Any:
        recorder, cls = self._recorder, self._class
        where = f"{cls.__name__}.{name}"
        if not hasattr(cls, name):
            msg = f"TensorRT {recorder.real.__version__} has no {where}"
            raise AttributeError(msg)
        recorder.used.add(where)
        real = getattr(cls, name)
        if isinstance(real, property):
            annotation = (real.fget.__doc__ or "").rpartition("->")[2]
            return self._set.get(name, recorder.value(cls.__name__, name, annotation))

        def call(*arguments: Any, **named: Any) -> Any:
            annotation = check_call(recorder, where, real.__doc__ or "", arguments, named)
            value = recorder.value(cls.__name__, name, annotation)
            return (
                value(self, *arguments, **named)
                if (cls.__name__, name) in recorder.overrides and callable(value)
                else value
            )

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        cls = self._class
        real = getattr(cls, name, None)
        if not isinstance(real, property) or real.fset is None:
            msg = f"TensorRT {self._recorder.real.__version__} cannot set {cls.__name__}.{name}"
            raise ApiError(msg)
        self._recorder.used.add(f"{cls.__name__}.{name}")
        check_call(self._recorder, f"{cls.__name__}.{name}", "set" + (real.fset.__doc__ or ""), (value,), {})
        self._set[name] = value

    def __bytes__(self) -> bytes:
        return b"content"


def check_call(recorder: Recorder, where: str, doc: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> str:
    """Return the annotation of what a call returns; `ApiError` when no signature in the docstring takes it."""
    signatures = re.findall(r"^(?:\d+\. )?\w*\((.*)\) -> (.*)$", doc, re.MULTILINE)
    faults = []
    for parameters, returned in signatures:
        if parameters.startswith("*args"):
            continue
        fault = _fault(recorder, _split(parameters)[1:], arguments, named)
        if fault is None:
            return str(returned)
        faults.append(fault)
    msg = f"TensorRT {recorder.real.__version__} {where}: {'; '.join(faults) or 'no signature is known'}"
    raise ApiError(msg)


def _fault(recorder: Recorder, parameters: list[str], arguments: tuple[Any, ...], named: dict[str, Any]) -> str | None:
    names = [parameter.partition(":")[0].strip() for parameter in parameters if parameter not in ("*", "/")]
    kinds = {
        name: parameter.partition(":")[2].partition("=")[0].strip()
        for name, parameter in zip(names, parameters, strict=False)
    }
    if len(arguments) > len(names):
        return f"takes {len(names)} arguments, got {len(arguments)}"
    given = dict(zip(names, arguments, strict=False)) | named
    if not set(named) <= set(names):
        return f"takes no argument {', '.join(sorted(set(named) - set(names)))}"
    missing = [
        name for name, parameter in zip(names, parameters, strict=False) if "=" not in parameter and name not in given
    ]
    if missing:
        return f"misses the argument {', '.join(missing)}"
    wrong = [name for name, value in given.items() if not _fits(recorder, value, kinds[name])]
    return f"got the wrong type for {', '.join(wrong)}" if wrong else None


def _fits(recorder: Recorder, value: Any, annotation: str) -> bool:
    """Return whether a value is of the annotated class, where that is one of TensorRT's."""
    cls = getattr(recorder.real, _short(annotation), None)
    if not isinstance(cls, type) or _short(annotation) == "Dims":
        return True
    if _short(annotation) == "Weights" and isinstance(value, np.ndarray):
        return True  # the bindings take arrays for weights
    return issubclass(value._class, cls) if isinstance(value, StandIn) else isinstance(value, cls)


def _short(annotation: str) -> str:
    return annotation.strip().rpartition(".")[2].rpartition("::")[2]


def _split(parameters: str) -> list[str]:
    """Split a signature's parameters at the commas outside brackets."""
    parts, depth, current = [], 0, ""
    for letter in parameters:
        depth += (letter in "[(<") - (letter in "])>")
        if letter == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += letter
    return [*parts, current.strip()] if current.strip() else parts
