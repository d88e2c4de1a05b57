"""A headless Chromium that opens pages from disk, and writes down what they complain of and ask for."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESKTOP, PHONE = (1280, 900), (390, 844)
ROWS = "table.cases tbody tr"
"""Where the page has its cases."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yield the system's Chromium with an empty profile; skip where there is none, and fail there in CI."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        _absent("no Chromium here (on Debian: apt-get install chromium)")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not everybody has a browser to drive
    except ImportError as error:
        _absent(f"no playwright here ({error}): requirements-dev.txt installs it")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def _absent(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Visit:
    """An open page, what its console said, and what it asked of the network."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def visit(
    browser: Browser,
    file: Path,
    size: tuple[int, int] = DESKTOP,
    scheme: Literal["light", "dark"] = "light",
    *,
    scripts: bool = True,
) -> Iterator[Visit]:
    """Open a file as a person would; when done, fail if it wrote to the console or asked for anything but itself."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        offline=True,
        java_script_enabled=scripts,
    )
    try:
        page = context.new_page()
        page.set_default_timeout(10_000)
        found = Visit(page)
        page.on("console", lambda message: found.said.append(message.text))
        page.on("pageerror", lambda error: found.said.append(str(error)))
        page.on("dialog", lambda dialog: found.said.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: found.asked.append(request.url))
        page.goto(file.as_uri())
        yield found
    finally:
        context.close()
    assert found.said == []
    assert [url for url in found.asked if not url.startswith("data:")] == [file.as_uri()]


def shown(page: Page) -> list[str]:
    """Return the cases of the table as they stand, hidden ones left out."""
    found: list[str] = page.eval_on_selector_all(
        ROWS, "rows => rows.filter(r => !r.hidden).map(r => r.cells[0].textContent)"
    )
    return found
