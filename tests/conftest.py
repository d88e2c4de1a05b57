"""What holds for every test: the garbage collector leaves alone what was imported before the first of them."""

from __future__ import annotations

import gc

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Freeze what is there: what measures memory collects garbage, which takes a tenth of a second of all imports.

    Sessions inside a session leave it at that: what they hold is to be freed at their end.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
