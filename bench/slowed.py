"""Engines slowed for real, to prove that a loss is found: `CASE@sleep=SHARE`, `CASE@threads=N`, `CASE@reformat`."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch

from bench.case import Case, parse_case
from bench.engines import check_label, open_engine
from bench.timing import Delayed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.backend import Engine
    from bench.source import NetworkSource

_HOW = re.compile(r"sleep=(?P<share>0?\.\d+)|threads=(?P<threads>[1-9]\d*)|(?P<reformat>reformat)")
_CHANNELS = 8
"""Channels of the feature map that is reformatted once more, of an image's own height and width."""


def plain_case(name: str) -> tuple[Case, str]:
    """Return the case that a name holds and how it is slowed, "" when it is not; `ValueError` when it names neither."""
    case, at, how = name.partition("@")
    if at and not _HOW.fullmatch(how):
        msg = f"{name}: {how!r} is no way to slow an engine (sleep=0.05, threads=1 or reformat)"
        raise ValueError(msg)
    return parse_case(case), how


@contextmanager
def open_slowed(source: NetworkSource, name: str) -> Iterator[Engine]:
    """Open the engine that a name means, plain or slowed, its label proved; `ValueError` where it cannot be slowed."""
    case, how = plain_case(name)
    match = _HOW.fullmatch(how)
    if match and match["threads"]:
        if source.device != "cpu":
            msg = f"{name}: an engine on a GPU has no threads to take away"
            raise ValueError(msg)
        source = replace(source, threads=int(match["threads"]))
    before = torch.get_num_threads()
    with open_engine(source, case) as opened:
        if match and match["threads"] and torch.get_num_threads() != before:
            torch.set_num_threads(before)
            msg = f"{name}: this backend has one thread count for the whole process; slow a case of another"
            raise ValueError(msg)
        engine = opened.engine
        check_label(case, engine)
        if match and match["share"]:
            yield cast("Engine", Delayed(engine, float(match["share"])))
        elif match and match["reformat"]:
            yield cast("Engine", Reformatted(engine, (case.batch_size, _CHANNELS, *source.image_size), source.device))
        else:
            yield engine


class Reformatted:
    """An engine with a feature map turned from channels first to channels last and back before each inference."""

    def __init__(self, engine: Engine, shape: tuple[int, ...], device: str) -> None:
        self._engine, self._device = engine, device
        self._map = torch.zeros(shape, device=device)

    def enqueue(self) -> None:
        """Reformat, then start one inference; on a GPU the engine's own stream waits for it."""
        last = self._map.contiguous(memory_format=torch.channels_last)
        self._map = last.contiguous(memory_format=torch.contiguous_format)
        if self._device == "cuda":
            torch.cuda.synchronize()
        self._engine.enqueue()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the engine has
        """Return what the engine has: everything else is as it was."""
        return getattr(self._engine, name)
