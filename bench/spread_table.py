"""A stored baseline for a person: who accepted which cases and why, each case's speed and spread, and its waivers."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table

from bench.case import parse_case
from bench.entries import speed
from bench.report import WIDTH
from bench.spread import spread_of
from bench.spread_words import dice_words, doubt, in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType

    from bench.entries import Baseline, BaselineEntry
    from bench.spread import Apart

_LEGEND = (
    "FPS %: standard deviation between process runs within a build, and between the means of builds. "
    "Dice: the largest difference of an image's."
)
_NONE = "-"


def shown(baseline: Baseline) -> Iterator[RenderableType]:
    """Yield what to print of a baseline, at most `WIDTH` columns wide: a table per acceptance, then all in words."""
    yield f"{baseline.machine['id']}: {_plural(len(baseline.entries), 'entry', 'entries')}"
    groups = _together(baseline)
    if groups:
        yield _filled(_LEGEND)
    for entries in groups:
        yield ""
        yield _filled(_heading(entries[0], baseline))
        yield _table(entries)
        if len(groups) > 1 and len(entries) > 1:
            yield ""
            yield from _items(in_words([spread_of(entry) for entry in entries]))
    if groups:
        spreads = [spread_of(entry) for entries in groups for entry in entries]
        yield f"\n{'All together:' if len(groups) > 1 else 'In words:'}"
        yield from _items([*in_words(spreads), doubt(spreads)])
    for waiver in baseline.waivers:
        told = f"{-waiver.limit:.0%} until {waiver.expires} by {waiver.who}: {waiver.reason}"
        yield _filled(f"waived: {waiver.case} to {told}")


def _together(baseline: Baseline) -> list[list[BaselineEntry]]:
    """Return the entries that were accepted together, of one model and image set, the oldest first."""
    found: dict[tuple[str, ...], list[BaselineEntry]] = {}
    for entry in sorted(baseline.entries.values(), key=lambda each: (parse_case(each.case), each.key)):
        made = entry.current.accepted
        key = (made.when, made.who, made.why, made.commit, entry.model_digest, entry.images_digest)
        found.setdefault(key, []).append(entry)
    return [found[key] for key in sorted(found)]


def _heading(entry: BaselineEntry, baseline: Baseline) -> str:
    """Return what a group is of, who accepted it when, and why; digests only where a name stands for several."""
    entries = baseline.entries.values()
    models = Counter(name for name, _ in {(each.model, each.model_digest) for each in entries})
    images = Counter(name for name, _ in {(each.images, each.images_digest) for each in entries})
    model = entry.model if models[entry.model] == 1 else f"{entry.model} ({entry.model_digest[:12]})"
    on = entry.images if images[entry.images] == 1 else f"{entry.images} ({entry.images_digest[:12]})"
    made = entry.current.accepted
    told = f"accepted {made.when[:10]} by {made.who} from {made.commit[:12]}: {made.why or 'no reason given'}"
    return f"{model} on {on}, {told}"


def _table(entries: Sequence[BaselineEntry]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    anchored = any(entry.anchor for entry in entries)
    columns = ["case", "FPS", "runs", "builds", "FPS %\nwithin", "\nbetween", "Dice\nwithin", "\nbetween"]
    for name in [*columns, *(["since\nanchor"] if anchored else [])]:
        table.add_column(name, justify="left" if name == "case" else "right", no_wrap=True)
    for entry in entries:
        table.add_row(*_cells(entry), *([_since_anchor(entry)] if anchored else []))
    return table


def _cells(entry: BaselineEntry) -> list[str]:
    """Return a line; where builds are not told, the spread of all runs stands where that within builds does."""
    spread = spread_of(entry)
    within = spread.within or spread.untold
    parts = (within, spread.between)
    fps, dice = ([_cell(part, form) for part in parts] for form in (_percent, _dice))
    return [entry.case, f"{entry.fps:.1f}", str(spread.runs), str(spread.builds or "?"), *fps, *dice]


def _cell(part: Apart | None, form: Callable[[Apart], str]) -> str:
    return form(part) if part else _NONE


def _percent(part: Apart) -> str:
    return f"{100 * part.fps:.2f}"


def _dice(part: Apart) -> str:
    return dice_words(part.dice)


def _since_anchor(entry: BaselineEntry) -> str:
    return f"{entry.fps / speed(entry.case, entry.anchor) - 1:+.1%}" if entry.anchor else _NONE


def _items(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield _filled(f"- {line}", "  ")


def _filled(text: str, indent: str = "") -> str:
    """Return a text in lines of at most `WIDTH` columns, case names unbroken and figures with their per cent."""
    whole = text.replace(" %", "\xa0%")
    return textwrap.fill(whole, WIDTH, subsequent_indent=indent, break_on_hyphens=False).replace("\xa0", " ")


def _plural(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
