"""Facts as one self-contained HTML file, or as Markdown for a pull request."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from bench.page.facts import Facts

MARKDOWN_LIMIT = 60_000
"""Characters: what a comment on a pull request holds."""
_CUT = "\n\nCut here: the HTML report holds the rest.\n"


def html(facts: Facts) -> str:
    """Return the page; every name in it is escaped, and it asks no network for anything."""
    return _environment(escape=True).get_template("page.html.jinja").render(facts=facts)


def markdown(facts: Facts) -> str:
    """Return the same facts in the same order as Markdown, cut at a line where they are too long."""
    text = _environment(escape=False).get_template("page.md.jinja").render(facts=facts)
    if len(text) <= MARKDOWN_LIMIT:
        return text
    return text[: MARKDOWN_LIMIT - len(_CUT)].rpartition("\n")[0] + _CUT


def inert(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no new line, no table cell."""
    flat = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*\[\]|!])", r"\\\1", flat)


def _environment(*, escape: bool) -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=escape,  # noqa: S701 - off for Markdown alone, whose template escapes by `inert`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["inert"] = inert
    found.filters["figure"] = _figure
    return found


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
