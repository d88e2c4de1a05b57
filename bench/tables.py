"""The results of stored runs as Markdown, a line per scheme with its batch sizes side by side; how runs are stored."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from bench.checksum import sealed
from bench.joined_runs import join
from bench.page.render import inert
from bench.results import read_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bench.joined_runs import Group
    from bench.newest import Cell

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
MOST_BYTES = 1_000_000
"""What a stored run may take: some 250 rows with their rounds."""
_MIB = 2**20
_FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s'\"/]+/)+")
"""The folders of an absolute path."""
_NONE = "-"
_SCHEMES = "A line is a backend and a precision, the slowest first; b1 is batch size 1. "
_RAISED = (
    "A raised number says of which files above a scheme's whole line or one figure is; without one they are those of "
    "1. Dice, share of engine and cold start are over all of a line."
)
_NEWEST = (
    "Of a case in several files the newest figure is shown (`measured` in the file), one that failed or was cut only "
    "where there is no other. Speed-ups are over the reference of their own file, shown or not."
)
_TERMS = (
    "Speed-ups are over the FP32 reference (torch fp32 where it runs) of the same file and batch size. Dice is the "
    "mean over the images, from the least to the most where batch sizes differ; MiB is the peak memory, build s the "
    "seconds that building the engine took; - is what was not measured or, of a speed-up, has no reference."
)
_STREAMS = (
    "A column is a number of images and a batch size, a cell the FPS over all of them and the seconds they took. Share "
    "of engine: these FPS over those of the engine alone, timed just before and after. Cold start: load, warm-up and "
    "first batch, of which the seconds hold the first batch alone."
)


class TablesError(ValueError):
    """A run or a document that no tables can be made of; the text names it and what to do."""


def section(paths: Sequence[Path], shown: Callable[[Path], str]) -> str:
    """Return the Markdown of runs, those of one machine, model and image set together; `shown` names a file in it."""
    return "\n".join(_group(group) for group in join((shown(path), read_run(path)) for path in paths))


def placed(document: str, text: str, name: str) -> str:
    """Return a document with what stands between its two markers replaced; `TablesError` unless it has both, once."""
    if document.count(BEGIN) != 1 or document.count(END) != 1 or document.index(BEGIN) > document.index(END):
        msg = f"{name}: the results go between one line {BEGIN} and one line {END} after it; put them in"
        raise TablesError(msg)
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}"


def compact(path: Path) -> str:
    """Return a run's file without what can be computed from the rest, a line per row, sealed anew.

    pytest-benchmark's own statistics and options go; every round's seconds and every image's Dice stay. Its command
    names files without the machine's folders, which say nothing to others.
    """
    read_run(path)
    data = json.loads(path.read_text(encoding="utf-8"))
    if "command" in data["suite"]:
        data["suite"]["command"] = _FOLDERS.sub("", data["suite"]["command"])
    data = sealed(data)
    rows = [json.dumps({"name": item["name"], "extra_info": item["extra_info"]}) for item in data["benchmarks"]]
    own = json.dumps(data["suite"])
    text = f'{{"suite": {own},\n"benchmarks": [\n' + ",\n".join(rows) + "\n]}\n"
    if len(text.encode()) > MOST_BYTES:
        msg = f"{path}: {len(text.encode()) / 1e6:.1f} MB without what can be left out, and a stored run may take "
        msg += f"{MOST_BYTES / 1e6:g} MB: measure fewer cases or rounds (--benchmark-max-time)"
        raise TablesError(msg)
    return text


def _group(group: Group) -> str:
    first, *more = group.files
    if not more and len(first.names) == 1:
        head = [f"**{inert(group.heading)}**, {inert(first.origin)}; from `{first.names[0]}`."]
    else:
        head = [f"**{inert(group.heading)}**, from", ""]
        for number, files in enumerate(group.files, 1):
            names = ", ".join(f"`{name}`" for name in files.names)
            head.append(f"{number}. {names} ({inert(files.origin)})")
    parts = ["\n".join(head)]
    if more:
        parts.append(_RAISED)
    if group.rows:
        parts.append(_SCHEMES + _TERMS)
        parts += ["\n".join(_speed_table(group)), "\n".join(_cost_table(group))]
    for place in dict.fromkeys(key[1] for key in group.streams):
        parts.append(f"Streams of images from {place}. {_STREAMS}")
        parts.append("\n".join(_streams_table(group, place)))
    notes = [inert(note) for note in group.remarks()]
    left_out = [f"{', '.join(names)} ({reason})" for reason, names in group.not_run().items()]
    if left_out:
        notes.append(inert(f"Not run: {'; '.join(left_out)}."))
    if group.not_streamed():
        notes.append(inert(f"Not streamed: {', '.join(group.not_streamed())}."))
    notes += _not_shown(group)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _not_shown(group: Group) -> list[str]:
    """Return how many figures give way to newer ones, in which files, and how far they are from those."""
    others = [other for shown in group.shown for other in shown.others]
    if not others:
        return []
    held = ", ".join(f"{len(shown.others)} in `{shown.file}`" for shown in group.shown if shown.others)
    told = f"Not shown: {held}"
    ratios = [other.fps_ratio for other in others if other.fps_ratio is not None]
    if ratios:
        told += f", with {_range(ratios, '.2f')} times the FPS shown"
    apart = [other.dice_apart for other in others if other.dice_apart is not None]
    if apart:
        told += f" and a Dice vs FP32 at most {max(apart):.5f} away"
    return [f"{_NEWEST} {told}; `python -m bench tables FILE` shows one file alone."]


def _speed_table(group: Group) -> list[str]:
    """Return a line per scheme: FPS, and speed-up over FP32 in the same file, by batch size; and the Dice."""
    batches = _batch_sizes(group)
    lines = _header(
        "scheme", *(f"FPS b{size}" for size in batches), *(f"speed-up b{size}" for size in batches), "Dice vs FP32"
    )
    for name in _ordered(group):
        keys = [(name, size) for size in batches]
        label, marks = _marks(group, name, keys)
        found = [group.rows.get(key) for key in keys]
        speeds = [_fps(row.fps) if row else _NONE for row in found]
        speedups = [_form(group.speedups.get(key), ".2f") for key in keys]
        dice = [row.info["dice_fp32"]["mean"] for row in found if row]
        lines.append(_line(label, *_raised(speeds, marks), *_raised(speedups, marks), _range(dice, ".5f")))
    return lines


def _cost_table(group: Group) -> list[str]:
    """Return a line per scheme, in the same order: Dice against the truth, and what its engines take."""
    batches = _batch_sizes(group)
    lines = _header(
        "scheme", "Dice vs truth", *(f"MiB b{size}" for size in batches), *(f"build s b{size}" for size in batches)
    )
    for name in _ordered(group):
        keys = [(name, size) for size in batches]
        label, marks = _marks(group, name, keys)
        infos = [row.info if (row := group.rows.get(key)) else {} for key in keys]
        truth = [info["dice_truth"]["mean"] for info in infos if info.get("dice_truth")]
        memory = (info.get("peak_memory_bytes") for info in infos)
        sizes = [_form(None if value is None else value / _MIB, ".0f") for value in memory]
        builds = [_seconds(info.get("build_s")) for info in infos]
        lines.append(_line(label, _range(truth, ".4f"), *_raised(sizes, marks), *_raised(builds, marks)))
    return lines


def _streams_table(group: Group, place: str) -> list[str]:
    """Return a line per scheme of the streams: a column for each number of samples and batch size."""
    streams = {
        key: found for key, found in sorted(group.streams.items(), key=lambda item: item[0][2:]) if key[1] == place
    }
    columns = list(dict.fromkeys(key[2:] for key in streams))
    last = {key[0]: found["fps"] for key, found in streams.items()}
    heads = (f"{samples} b{size}" for samples, size in columns)
    lines = _header("stream", *heads, "share of engine", "cold start s")
    for name in sorted(last, key=lambda name: last[name]):
        keys = [(name, place, *column) for column in columns]
        label, marks = _marks(group, name, keys)
        found = [streams.get(key) for key in keys]
        shares = [each["share_of_engine"] for each in found if each]
        cold = [sum(each["cold_start_s"].values()) for each in found if each and each.get("cold_start_s")]
        lines.append(_line(label, *map(_stream, found, marks), _range(shares, ".1%"), _range(cold, ".1f")))
    return lines


def _batch_sizes(group: Group) -> list[int]:
    return sorted({size for _, size in group.rows})


def _ordered(group: Group) -> list[str]:
    """Return the schemes, the slowest at its largest batch size first."""
    speed = {name: row.fps for (name, _), row in sorted(group.rows.items(), key=lambda item: item[0][1])}
    return sorted(speed, key=lambda name: speed[name])


def _marks(group: Group, name: str, keys: Sequence[Cell]) -> tuple[str, list[str]]:
    """Return a line's label and its cells' marks: the number of each one's files above 1, once where all share it."""
    numbers = [group.numbers.get(key) for key in keys]
    told = ["" if number in (None, 1) else f"<sup>{number}</sup>" for number in numbers]
    if len(set(numbers) - {None}) == 1:
        return f"{name}{max(told)}", [""] * len(told)
    return name, told


def _raised(figures: Sequence[str], marks: Sequence[str]) -> list[str]:
    return [text if text == _NONE else f"{text}{mark}" for text, mark in zip(figures, marks, strict=True)]


def _stream(found: Mapping[str, Any] | None, mark: str) -> str:
    if found is None:
        return _NONE
    speed = f"{_fps(found['fps'])}{mark}"
    if found["partial"]:
        return f"{speed}<br>{found['done']} done, partial"
    seconds = _form(found["runtime_s"], ".2f" if found["runtime_s"] < 100 else ".1f")  # noqa: PLR2004 - as for FPS
    return f"{speed}<br>{seconds}&nbsp;s"


def _range(values: Sequence[float], form: str) -> str:
    """Return figures that batch sizes share once, and else the least and the most; a dash for none."""
    if not values:
        return _NONE
    least, most = format(min(values), form), format(max(values), form)
    return least if least == most else f"{least} to {most}"


def _header(*names: str) -> list[str]:
    return [_line(*names), _line("---", *["---:"] * (len(names) - 1))]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _form(value: float | None, form: str) -> str:
    return _NONE if value is None else format(value, form)


def _seconds(value: float | None) -> str:
    return _form(value, ".1f" if value is None or value < 10 else ".0f")  # noqa: PLR2004 - two digits are enough


def _fps(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"  # noqa: PLR2004 - four digits are enough
