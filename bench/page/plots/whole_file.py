"""A plot as a file of its own, in the page's colours, light or dark as the reader's browser is."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_COLOURS = Path(__file__).parents[1] / "templates" / "colours.css"
_OWN = """svg { background: var(--paper); font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }"""
_BEGIN = '<svg class="plot"'


def whole_file(plot: str) -> bytes:
    """Return the `svg` element of a plot as a file that needs no page, no script and no network."""
    head, _, body = plot.partition(">")
    head = head.replace(_BEGIN, '<svg xmlns="http://www.w3.org/2000/svg" width="900"', 1)
    return f"{head}>\n<style>\n{_colours()}{_OWN}\n</style>\n{body}\n".encode()


@cache
def _colours() -> str:
    return _COLOURS.read_text(encoding="utf-8")
