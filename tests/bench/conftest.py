"""What several files of these tests begin with."""

from __future__ import annotations

import errno
import os
import pathlib
import signal
from typing import TYPE_CHECKING

import pytest

from tests.bench.networks import tiny_source
from tests.bench.trt_api.fake_torch2trt import installed
from tests.bench.trt_api.fakes import Fakes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.source import NetworkSource
    from tests.bench.trt_api.fake_torch2trt import FakeTorch2trt


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that a file's tests share: they tell engines apart by their keys."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def no_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no written file take its place: the disk is full by then."""

    def replace(path: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(pathlib.Path, "replace", replace)


@pytest.fixture
def made(stored: Path) -> NetworkSource:
    """A source of the tiny network with that cache."""
    return tiny_source(stored)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """Stand-ins for TensorRT and pycuda, and the backends on them."""
    return Fakes(monkeypatch)


@pytest.fixture
def converter(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> FakeTorch2trt:
    """A stand-in for torch2trt, on those."""
    return installed(fakes, monkeypatch)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let Ctrl-C interrupt, also where these tests began in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
