"""One browser for all tests of the page, and the page of a run with everything in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bench.page.browser import chromium
from tests.bench.page.rich import rich_run, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with everything in it."""
    return written(tmp_path_factory.mktemp("page"), rich_run())
