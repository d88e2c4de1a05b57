"""What several files of these tests begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bench.networks import tiny_source

if TYPE_CHECKING:
    from pathlib import Path

    from bench.source import NetworkSource


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that a file's tests share: they tell engines apart by their keys."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def made(stored: Path) -> NetworkSource:
    """A source of the tiny network with that cache."""
    return tiny_source(stored)
