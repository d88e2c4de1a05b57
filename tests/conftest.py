"""What holds for every test: neither what was imported before the first of them nor the `make` that began it counts."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path

import pytest

_MAKEFILE = Path(__file__).parents[1] / "Makefile"


def pytest_configure() -> None:
    """Keep from the tests, and from what they start, what `make test GPU=1 PY=...` hands on to them.

    A `make` of their own would take those words for its own, and say which folder it enters.
    """
    makefile = _MAKEFILE.read_text(encoding="utf-8")
    words = {*re.findall(r"^(?:export |override )?([A-Z]+) [?:]=", makefile, re.MULTILINE)} - {"SHELL"}
    for name in [name for name in os.environ if name in words or name.startswith("MAKE")]:
        del os.environ[name]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Freeze what is there: what measures memory collects garbage, which takes a tenth of a second of all imports.

    Sessions inside a session leave it at that: what they hold is to be freed at their end.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
