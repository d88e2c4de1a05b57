"""What several files of these tests begin with."""

from __future__ import annotations

import errno
import os
import pathlib
import signal
from typing import TYPE_CHECKING

import pytest

from tests.bench.networks import tiny_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.source import NetworkSource


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
def ctrl_c() -> Iterator[None]:
    """Let Ctrl-C interrupt, also where these tests began in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
