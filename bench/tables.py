"""The results of stored runs as Markdown, a line per scheme with its batch sizes side by side; how runs are stored."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from bench.case import parse_case
from bench.page.render import inert
from bench.report import heading, remarks
from bench.results import read_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from bench.results import Run

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
MOST_BYTES = 1_000_000
"""What a stored run may take: some 250 rows with their rounds."""
_MIB = 2**20
_NONE = "-"


class TablesError(ValueError):
    """A run or a document that no tables can be made of; the text names it and what to do."""


def section(paths: Sequence[Path], shown: Callable[[Path], str]) -> str:
    """Return the Markdown of runs, one after the other; `shown` is how a file is named in it."""
    return "\n".join(_run(path, shown(path)) for path in paths)


def placed(document: str, text: str, name: str) -> str:
    """Return a document with what stands between its two markers replaced; `TablesError` unless it has both, once."""
    if document.count(BEGIN) != 1 or document.count(END) != 1 or document.index(BEGIN) > document.index(END):
        msg = f"{name}: the results go between one line {BEGIN} and one line {END} after it; put them in"
        raise TablesError(msg)
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}"


def compact(path: Path) -> str:
    """Return a run's file without what can be computed from the rest, a line per row, its checksum as it was.

    pytest-benchmark's own statistics and options go; every round's seconds and every image's Dice stay.
    """
    read_run(path)
    data = json.loads(path.read_text(encoding="utf-8"))
    rows = [json.dumps({"name": item["name"], "extra_info": item["extra_info"]}) for item in data["benchmarks"]]
    own = json.dumps(data["suite"])
    text = f'{{"suite": {own},\n"benchmarks": [\n' + ",\n".join(rows) + "\n]}\n"
    if len(text.encode()) > MOST_BYTES:
        msg = f"{path}: {len(text.encode()) / 1e6:.1f} MB without what can be left out, and a stored run may take "
        msg += f"{MOST_BYTES / 1e6:g} MB: measure fewer cases or rounds (--benchmark-max-time)"
        raise TablesError(msg)
    return text


def _run(path: Path, shown: str) -> str:
    run = read_run(path)
    data = json.loads(path.read_text(encoding="utf-8"))
    streams = [item["extra_info"]["stream"] for item in data["benchmarks"] if "stream" in item["extra_info"]]
    parts = [f"**{inert(heading(run))}**, {inert(_origin(run))}; from `{shown}`.", ""]
    if run.rows:
        parts += [*_rows_table(run), ""]
    if streams:
        parts += [*_streams_table(streams), ""]
    notes = [note for note in remarks(run) if not note.startswith("skipped ")]
    notes += [f"{case}: {reason}" for case, reason in run.failed.items()]
    notes += _skipped(run)
    return "\n".join([*parts, *(f"- {inert(note)}" for note in notes), *([""] if notes else [])])


def _origin(run: Run) -> str:
    suite = run.suite
    runtimes = suite["machine"].get("runtimes") or {}
    for row in run.rows.values():
        runtimes = {**runtimes, **row.info["versions"]}
    names = ("torch", "tensorrt", "onnxruntime", "openvino", "cuda_driver")
    versions = [f"{name.replace('_', ' ')} {runtimes[name]}" for name in names if name in runtimes]
    return ", ".join([str(suite.get("measured", ""))[:10], *versions])


def _skipped(run: Run) -> list[str]:
    """Return why schemes were not run, whatever the batch size."""
    schemes: dict[str, list[str]] = defaultdict(list)
    for case, reason in run.skipped.items():
        name = _scheme(case) if "-" in case else case
        if name not in schemes[reason]:
            schemes[reason].append(name)
    return [f"not run: {', '.join(names)}: {reason}" for reason, names in schemes.items()]


def _rows_table(run: Run) -> list[str]:
    """Return a line per scheme: its figures at each batch size, the slowest scheme at the largest one first."""
    rows = {(_scheme(case), row.batch_size): row for case, row in run.rows.items()}
    batches = sorted({batch for _, batch in rows})
    speed: dict[str, float] = defaultdict(float)
    for (scheme, _), row in sorted(rows.items(), key=lambda item: item[0][1]):
        speed[scheme] = row.fps
    sizes = " / ".join(map(str, batches))
    lines = _header("scheme", f"FPS at batch {sizes}", "speed-up", "Dice vs FP32", "Dice vs truth", "MiB", "build s")
    for scheme in sorted(speed, key=lambda scheme: speed[scheme]):
        found = [rows.get((scheme, batch)) for batch in batches]
        infos = [row.info if row else {} for row in found]
        cells = (
            _joined([_fps(row.fps) if row else None for row in found]),
            _joined([_form(info.get("speedup"), ".2f") for info in infos]),
            _same([_form(_mean(info.get("dice_fp32")), ".5f") for info in infos]),
            _same([_form(_mean(info.get("dice_truth")), ".4f") for info in infos]),
            _joined([_form(_scaled(info.get("peak_memory_bytes"), _MIB), ".0f") for info in infos]),
            _joined([_form(info.get("build_s"), ".1f") for info in infos]),
        )
        lines.append(_line(scheme, *cells))
    return lines


def _streams_table(streams: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line per scheme of the streams, images in and masks out; the cold start is not in the runtime."""
    rows = {(_scheme(row["case"]), row["batch_size"]): row for row in streams}
    batches = sorted({batch for _, batch in rows})
    sizes = " / ".join(map(str, batches))
    lines = _header("stream", "samples", f"runtime s at batch {sizes}", "FPS", "share of engine", "cold start s")
    last = {scheme: rows[scheme, batch]["fps"] for scheme, batch in sorted(rows, key=lambda key: key[1])}
    for scheme in sorted(last, key=lambda scheme: last[scheme]):
        found = [rows.get((scheme, batch), {}) for batch in batches]
        cells = (
            _same([_samples(row) for row in found]),
            _joined([_form(row.get("runtime_s"), ".2f") for row in found]),
            _joined([_fps(row["fps"]) if row else None for row in found]),
            _joined([_form(row.get("share_of_engine"), ".1%") for row in found]),
            _joined([f"{sum(row['cold_start_s'].values()):.1f}" if row else None for row in found]),
        )
        lines.append(_line(scheme, *cells))
    return lines


def _scheme(case: str) -> str:
    parsed = parse_case(case)
    return f"{parsed.backend} {parsed.precision}"


def _header(*names: str) -> list[str]:
    return [_line(*names), _line("---", *["---:"] * (len(names) - 1))]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _joined(texts: Iterable[str | None]) -> str:
    return " / ".join(text or _NONE for text in texts)


def _same(texts: Sequence[str | None]) -> str:
    """Return a figure that batch sizes share once, and else each."""
    found = {text for text in texts if text}
    return found.pop() if len(found) == 1 else _joined(texts)


def _samples(row: Mapping[str, Any]) -> str | None:
    return f"{row['done']}{' (partial)' if row['partial'] else ''}" if row else None


def _form(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)


def _fps(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"  # noqa: PLR2004 - four digits are enough


def _mean(dice: Mapping[str, float] | None) -> float | None:
    return None if dice is None else dice["mean"]


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
