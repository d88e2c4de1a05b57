"""Runs of one machine, model and image set put together, for tables: what each cell is, and from which file."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.case import parse_case
from bench.report import heading, remarks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.results import Row, Run

_NAMES = ("python", "torch", "tensorrt", "onnxruntime", "openvino", "cuda_driver")
"""Versions worth a place in a document; the JSON holds them all."""


@dataclass(slots=True)
class Source:
    """Files whose versions agree, none of which holds a cell that another of them holds."""

    environment: dict[tuple[str, str], object] = field(default_factory=dict)
    """Driver, threads and versions; a library that one file's machine lacked is as the others found it."""
    files: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    rows: dict[tuple[str, int], Row] = field(default_factory=dict)
    """By scheme and batch size."""
    speedups: dict[tuple[str, int], float] = field(default_factory=dict)
    """Over the FP32 reference of the same file, where that file holds it."""
    streams: dict[tuple[str, str, int, int], Mapping[str, Any]] = field(default_factory=dict)
    """By scheme, where the images came from, samples asked for, and batch size."""

    def add(self, file: str, run: Run) -> bool:
        """Take a file's cells; False, and nothing is taken, where a version differs or a cell is held already."""
        environment = _environment(run)
        if any(environment[name] != self.environment[name] for name in environment.keys() & self.environment.keys()):
            return False
        rows = {(scheme(case), row.batch_size): row for case, row in run.rows.items()}
        streams = {_stream_key(found): found for found in run.streams}
        if rows.keys() & self.rows.keys() or streams.keys() & self.streams.keys():
            return False
        for key, row in rows.items():
            if row.info.get("speedup_over") in run.rows:
                self.speedups[key] = row.info["speedup"]
        self.environment |= environment
        self.rows |= rows
        self.streams |= streams
        self.files.append(file)
        self.runs.append(run)
        return True

    @property
    def origin(self) -> str:
        """When it was measured, beside a GPU on how many cores, and with which versions."""
        days = sorted({str(run.suite.get("measured", ""))[:10] for run in self.runs})
        # Sorted by place: what a row tells of itself has the last word, as of its build of PyTorch.
        versions = {name: self.environment[place, name] for place, name in sorted(self.environment)}
        told = [f"{name.replace('_', ' ')} {versions[name]}" for name in _NAMES if name in versions]
        machine = self.runs[0].suite["machine"]
        cores = [f"{machine['cores']} CPU cores"] if machine["gpu"] else []
        return ", ".join([days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}", *cores, *told])


@dataclass(slots=True)
class Group:
    """All that was measured of one model and image set on one machine."""

    heading: str
    sources: list[Source] = field(default_factory=list)

    def remarks(self) -> list[str]:
        """Return what is worth knowing of its rows, and what failed."""
        found: dict[str, None] = {}
        for run in (run for source in self.sources for run in source.runs):
            found |= dict.fromkeys(note for note in remarks(run) if not note.startswith("skipped "))
        return [*found, *(f"{', '.join(cases)}: {reason}" for reason, cases in self._failed().items())]

    def _failed(self) -> dict[str, list[str]]:
        """Return the cases that failed, by the reason, which names none of them."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for run in (run for source in self.sources for run in source.runs):
            for case, reason in run.failed.items():
                found[reason.removeprefix("Failed: ").removeprefix(f"{case} was ")][case] = None
        return {reason: list(cases) for reason, cases in found.items()}

    def not_run(self) -> dict[str, list[str]]:
        """Return the schemes or backends that no file has a cell of, by the reason."""
        ran = {name for source in self.sources for name, _ in source.rows}
        ran |= {key[0] for source in self.sources for key in source.streams}
        ran |= {name.partition(" ")[0] for name in ran}
        ran |= {scheme(case) for source in self.sources for run in source.runs for case in run.failed if "-" in case}
        found: dict[str, list[str]] = defaultdict(list)
        for run in (run for source in self.sources for run in source.runs):
            for case, reason in run.skipped.items():
                name = scheme(case) if "-" in case else case
                told = reason.removeprefix(f"{name}: ")
                if name not in ran and name not in found[told]:
                    found[told].append(name)
        return {reason: names for reason, names in found.items() if names}

    def not_streamed(self) -> list[str]:
        """Return the schemes that were timed and not streamed, where any was streamed."""
        streamed = {key[0] for source in self.sources for key in source.streams}
        timed = dict.fromkeys(key[0] for source in self.sources for key in source.rows)
        return [name for name in timed if name not in streamed] if streamed else []


def join(runs: Iterable[tuple[str, Run]]) -> list[Group]:
    """Return the groups that files, each with its name, fall into, in the order of the files.

    Within a group a file goes with those whose versions agree with its own, unless one of them holds a cell of it
    already; the source that holds most comes first.
    """
    groups: dict[tuple[str, ...], Group] = {}
    for file, run in runs:
        suite = run.suite
        key = (str(suite["machine"]["id"]), *(str(suite[part]["digest"]) for part in ("model", "images")))
        group = groups.setdefault(key, Group(heading(run)))
        if not any(source.add(file, run) for source in group.sources):
            group.sources.append(Source())
            group.sources[-1].add(file, run)
    for group in groups.values():
        group.sources.sort(key=lambda source: -len(source.rows) - len(source.streams))
    return list(groups.values())


def scheme(case: str) -> str:
    """Return a case's backend and precision, as tables name them."""
    parsed = parse_case(case)
    return f"{parsed.backend} {parsed.precision}"


def _environment(run: Run) -> dict[tuple[str, str], object]:
    """Return what must be the same for rows to stand side by side, by where the run tells it and its name."""
    machine = run.suite["machine"]
    found: dict[tuple[str, str], object] = {
        ("machine", "driver"): machine.get("driver"),
        ("suite", "threads"): run.suite.get("threads"),
    }
    found |= {("machine", name): version for name, version in (machine.get("runtimes") or {}).items()}
    for row in run.rows.values():
        found |= {("row", name): version for name, version in row.info["versions"].items()}
    return found


def _stream_key(found: Mapping[str, Any]) -> tuple[str, str, int, int]:
    samples = found.get("samples", found["done"])
    return scheme(found["case"]), str(found.get("source", "memory")), samples, parse_case(found["case"]).batch_size
