"""Facts as one self-contained HTML file, or as Markdown for a pull request."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.outputs import write_whole
from bench.page.plots.accuracy import spread_plot
from bench.page.plots.canvas import shortened
from bench.page.plots.front import front_plot
from bench.page.plots.history import history_plot
from bench.page.plots.throughput import layers_plot, scaling_plot, stages_plot
from bench.status import BAD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.page.parts import LayersFacts
    from bench.page.values import CaseFacts, Facts

MARKDOWN_LIMIT = 60_000
"""Characters: what a comment on a pull request holds."""
_SHORTER = ((1000, 2000), (150, 600), (60, 300), (25, 200), (10, 150), (4, 100))
"""Rows of a table and characters of a text, tried in turn until the whole is short enough."""
_CUT = "\n\nCut here: the HTML page holds the rest.\n"
_PLOTS = (front_plot, scaling_plot, stages_plot, layers_plot, spread_plot, history_plot)
_BAD = {status.value for status in BAD}


def write_report(path: Path, facts: Facts) -> None:
    """Write the report that the file's name asks for, whole or not at all; `ValueError` for another name."""
    if path.suffix not in RENDERERS:
        msg = f"{path}: the name must end in {' or '.join(RENDERERS)}"
        raise ValueError(msg)
    write_whole(path, RENDERERS[path.suffix](facts, path.parent).encode())


def html(facts: Facts, folder: Path | None = None) -> str:
    """Return the page; every name in it is escaped, and it asks no network for anything.

    Links to raw data are relative to `folder`, the page's own.
    """
    return _environment(folder, escape=True).get_template("page.html.jinja").render(facts=facts)


def markdown(facts: Facts, folder: Path | None = None) -> str:
    """Return the same facts in the same order as Markdown, shortened where they are too long, which it then says."""
    text = ""
    for rows, characters in _SHORTER:
        environment = _environment(folder, escape=False, characters=characters)
        text = environment.get_template("page.md.jinja").render(facts=facts, rows=rows)
        text = re.sub(r"\n{3,}", "\n\n", text).lstrip("\n")
        if len(text) <= MARKDOWN_LIMIT:
            return text
    return text[: MARKDOWN_LIMIT - len(_CUT)].rpartition("\n")[0] + _CUT


RENDERERS: dict[str, Callable[[Facts, Path | None], str]] = {".html": html, ".md": markdown}
"""By the suffix of the report's file."""


def inert(text: str, most: int = 2000) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no new line, no table cell, no mention."""
    flat = shortened(" ".join(str(text).split()), most).replace("&", "&amp;").replace("<", "&lt;")
    # Within a word an underscore is one to Markdown, too.
    marked = re.sub(r"([\\`*\[\]|!~]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", flat)
    return re.sub(r"(?<![\w.])@(?=\w)", "@\u2060", marked)


def urgent(cases: Sequence[CaseFacts], most: int, recommended: str | None) -> list[CaseFacts]:
    """Return at most so many cases in their order; the bad, the recommended and the front are kept before others."""
    ranked = sorted(cases, key=lambda case: (case.status not in _BAD, case.case != recommended, not case.front))
    kept = {case.case for case in ranked[:most]}
    return [case for case in cases if case.case in kept]


def costliest(found: Sequence[LayersFacts], recommended: str | None) -> LayersFacts | None:
    """Return the case whose layers are worth a plot: the recommended, or the first that has any."""
    timed = [each for each in found if each.layers]
    return next((each for each in timed if each.case == recommended), timed[0] if timed else None)


def leading(text: str) -> str:
    """Return the number that a text begins with, or nothing."""
    match = re.match(r"[-+]?[\d.]+", text)
    return match[0] if match else ""


def foldable(text: str) -> Markup:
    """Return text as HTML that a narrow column may break after an underscore."""
    return Markup("_<wbr>").join(text.split("_"))


def _environment(folder: Path | None, *, escape: bool, characters: int = 2000) -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=escape,  # noqa: S701 - off for Markdown alone, whose template escapes by `inert`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters.update(
        figure=_figure,
        inert=lambda text: inert(text, characters),
        urgent=urgent,
        costliest=costliest,
        leading=leading,
        foldable=foldable,
        shortened=shortened,
    )
    found.globals["link"] = lambda raw: quote(os.path.relpath(raw, folder or Path()))
    found.globals.update({plot.__name__: _safe(plot) for plot in _PLOTS} if escape else {})
    return found


def _safe(plot: Callable[..., str]) -> Callable[..., Markup]:
    """Return a plot that the page takes as it is: what it names is escaped where it is drawn."""
    return lambda *arguments: Markup(plot(*arguments))  # noqa: S704 - an SVG writer's own output


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
