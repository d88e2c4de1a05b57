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

    from bench.joined_runs import Group, Source

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
MOST_BYTES = 1_000_000
"""What a stored run may take: some 250 rows with their rounds."""
_MIB = 2**20
_FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s'\"/]+/)+")
"""The folders of an absolute path."""
_NONE = "-"
_SCHEMES = "A line is a backend and a precision, the slowest first; b1 is batch size 1. "
_SOURCES = "A raised number is the line's source in the list above; lines without one are of source 1. "
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
    sources = group.sources
    if [len(source.files) for source in sources] == [1]:
        head = [f"**{inert(group.heading)}**, {inert(sources[0].origin)}; from `{sources[0].files[0]}`."]
    else:
        head = [f"**{inert(group.heading)}**, from", ""]
        for number, source in enumerate(sources, 1):
            files = ", ".join(f"`{file}`" for file in source.files)
            head.append(f"{number}. {files} ({inert(source.origin)})")
    parts = ["\n".join(head)]
    if any(source.rows for source in sources):
        parts.append(_SCHEMES + (_SOURCES if len(sources) > 1 else "") + _TERMS)
        parts += ["\n".join(_speed_table(sources)), "\n".join(_cost_table(sources))]
    for place in dict.fromkeys(key[1] for source in sources for key in source.streams):
        parts.append(f"Streams of images from {place}. {_STREAMS}")
        parts.append("\n".join(_streams_table(sources, place)))
    notes = [inert(note) for note in group.remarks()]
    left_out = [f"{', '.join(names)} ({reason})" for reason, names in group.not_run().items()]
    if left_out:
        notes.append(inert(f"Not run: {'; '.join(left_out)}."))
    if group.not_streamed():
        notes.append(inert(f"Not streamed: {', '.join(group.not_streamed())}."))
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _speed_table(sources: Sequence[Source]) -> list[str]:
    """Return a line per scheme: FPS, and speed-up over FP32 in the same file, by batch size; and the Dice."""
    batches = _batch_sizes(sources)
    lines = _header(
        "scheme", *(f"FPS b{size}" for size in batches), *(f"speed-up b{size}" for size in batches), "Dice vs FP32"
    )
    for label, source, name in _ordered(sources):
        found = [source.rows.get((name, size)) for size in batches]
        speedups = (source.speedups.get((name, size)) for size in batches)
        dice = [row.info["dice_fp32"]["mean"] for row in found if row]
        lines.append(
            _line(label, *(_fps(row.fps) if row else _NONE for row in found),
                  *(_form(value, ".2f") for value in speedups), _range(dice, ".5f"))
        )  # fmt: skip
    return lines


def _cost_table(sources: Sequence[Source]) -> list[str]:
    """Return a line per scheme, in the same order: Dice against the truth, and what its engines take."""
    batches = _batch_sizes(sources)
    lines = _header(
        "scheme", "Dice vs truth", *(f"MiB b{size}" for size in batches), *(f"build s b{size}" for size in batches)
    )
    for label, source, name in _ordered(sources):
        infos = [row.info if (row := source.rows.get((name, size))) else {} for size in batches]
        truth = [info["dice_truth"]["mean"] for info in infos if info.get("dice_truth")]
        memory = (info.get("peak_memory_bytes") for info in infos)
        lines.append(
            _line(label, _range(truth, ".4f") if truth else _NONE,
                  *(_form(None if value is None else value / _MIB, ".0f") for value in memory),
                  *(_seconds(info.get("build_s")) for info in infos))
        )  # fmt: skip
    return lines


def _streams_table(sources: Sequence[Source], place: str) -> list[str]:
    """Return a line per scheme of the streams: a column for each number of samples and batch size."""
    cells = {
        (number, name, samples, size): found
        for number, source in enumerate(sources)
        for (name, where, samples, size), found in source.streams.items()
        if where == place
    }
    columns = sorted({key[2:] for key in cells})
    last = {key[:2]: found["fps"] for key, found in sorted(cells.items(), key=lambda item: item[0][2:])}
    heads = (f"{samples} b{size}" for samples, size in columns)
    lines = _header("stream", *heads, "share of engine", "cold start s")
    for number, name in sorted(last, key=lambda key: last[key]):
        found = [cells.get((number, name, *column)) for column in columns]
        shares = [each["share_of_engine"] for each in found if each]
        cold = [sum(each["cold_start_s"].values()) for each in found if each]
        label = f"{name}{_mark(number)}"
        lines.append(_line(label, *map(_stream, found), _range(shares, ".1%"), _range(cold, ".1f")))
    return lines


def _batch_sizes(sources: Sequence[Source]) -> list[int]:
    return sorted({size for source in sources for _, size in source.rows})


def _ordered(sources: Sequence[Source]) -> list[tuple[str, Source, str]]:
    """Return each scheme of each source with its label, the slowest at its largest batch size first."""
    speed: dict[tuple[int, str], float] = {}
    for number, source in enumerate(sources):
        for (name, _), row in sorted(source.rows.items(), key=lambda item: item[0][1]):
            speed[number, name] = row.fps
    ranked = sorted(speed, key=lambda key: speed[key])
    return [(f"{name}{_mark(number)}", sources[number], name) for number, name in ranked]


def _mark(number: int) -> str:
    """Return the mark of a row that is not of the first source: its number in the list above the tables."""
    return f"<sup>{number + 1}</sup>" if number else ""


def _stream(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return _NONE
    if found["partial"]:
        return f"{_fps(found['fps'])}<br>{found['done']} done, partial"
    seconds = _form(found["runtime_s"], ".2f" if found["runtime_s"] < 100 else ".1f")  # noqa: PLR2004 - as for FPS
    return f"{_fps(found['fps'])}<br>{seconds}&nbsp;s"


def _range(values: Sequence[float], form: str) -> str:
    """Return figures that batch sizes share once, and else the least and the most."""
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
