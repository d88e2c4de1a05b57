"""Runs of one machine, model and image set put together, for tables: what each cell is, and from which file."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.newest import began, parts, scheme
from bench.report import heading, remarks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.newest import Cell, Part, Streamed, Timed
    from bench.results import Row, Run

_NAMES = ("python", "torch", "tensorrt", "onnxruntime", "openvino", "cuda_driver")
"""Versions worth a place in a document; the JSON holds them all."""


@dataclass(slots=True)
class Source:
    """Files whose versions agree."""

    environment: dict[tuple[str, str], object] = field(default_factory=dict)
    """Driver, threads and versions; a library that one file's machine lacked is as the others found it."""
    parts: list[Part] = field(default_factory=list)

    def add(self, part: Part) -> bool:
        """Take a file; False, and it is not taken, where a version differs."""
        environment = _environment(part.run)
        if any(environment[name] != self.environment[name] for name in environment.keys() & self.environment.keys()):
            return False
        self.environment |= environment
        self.parts.append(part)
        return True

    @property
    def files(self) -> list[str]:
        """The names of its files."""
        return [part.file for part in self.parts]

    @property
    def size(self) -> int:
        """How many cells it gives."""
        return sum(len(part.cells) for part in self.parts)

    @property
    def origin(self) -> str:
        """When it was measured, beside a GPU on how many cores, and with which versions."""
        days = sorted({began(part.run)[:10] for part in self.parts})
        # Sorted by place: what a row tells of itself has the last word, as of its build of PyTorch.
        versions = {name: self.environment[place, name] for place, name in sorted(self.environment)}
        told = [f"{name.replace('_', ' ')} {versions[name]}" for name in _NAMES if name in versions]
        machine = self.parts[0].run.suite["machine"]
        cores = [f"{machine['cores']} CPU cores"] if machine["gpu"] else []
        return ", ".join([days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}", *cores, *told])


@dataclass(frozen=True, slots=True)
class Group:
    """All that was measured of one model, image set and calibration on one machine; each cell is of one file."""

    heading: str
    parts: tuple[Part, ...]
    sources: tuple[Source, ...]
    """Of the files that give a cell, or hold none at all; the one that gives most comes first."""

    @property
    def rows(self) -> dict[Timed, Row]:
        """The row of each case that was timed."""
        return {key: row for part in self.parts for key, row in part.rows.items()}

    @property
    def streams(self) -> dict[Streamed, Mapping[str, Any]]:
        """The figures of each stream."""
        return {key: found for part in self.parts for key, found in part.streams.items()}

    @property
    def speedups(self) -> dict[Timed, float]:
        """Over the FP32 reference of the same file, where that file holds it."""
        return {
            key: row.info["speedup"]
            for part in self.parts
            for key, row in part.rows.items()
            if row.info.get("speedup_over") in part.run.rows
        }

    @property
    def numbers(self) -> dict[Cell, int]:
        """The number of each cell's source, from 1."""
        return {
            key: number for number, source in enumerate(self.sources, 1) for part in source.parts for key in part.cells
        }

    def remarks(self) -> list[str]:
        """Return what is worth knowing of the rows shown, and what failed."""
        found: dict[str, None] = {}
        for part in self.parts:
            shown = replace(part.run, rows={row.case: row for row in part.rows.values()})
            found |= dict.fromkeys(note for note in remarks(shown) if not note.startswith("skipped "))
        return [*found, *(f"{', '.join(cases)}: {reason}" for reason, cases in self._failed().items())]

    def _failed(self) -> dict[str, list[str]]:
        """Return the cases that failed, by the reason, which names none of them."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for part in self.parts:
            for case, reason in part.run.failed.items():
                told = reason.removeprefix("Failed: ").removeprefix(f"{case} was ")
                found[told][f"{case}{self._elsewhere(case, part)}"] = None
        return {reason: list(cases) for reason, cases in found.items()}

    def _elsewhere(self, case: str, failed: Part) -> str:
        """Return whether what failed in one run is shown from another all the same."""
        others = [began(part.run) for part in self.parts if part is not failed and part.shows(case)]
        if not others:
            return ""
        return f" (measured in {'a later' if max(others) > began(failed.run) else 'an earlier'} run)"

    def not_run(self) -> dict[str, list[str]]:
        """Return the schemes or backends that no file has a cell of, by the reason."""
        ran = {key[0] for part in self.parts for key in part.cells}
        ran |= {name.partition(" ")[0] for name in ran}
        ran |= {scheme(case) for part in self.parts for case in part.run.failed if "-" in case}
        found: dict[str, list[str]] = defaultdict(list)
        for part in self.parts:
            for case, reason in part.run.skipped.items():
                name = scheme(case) if "-" in case else case
                told = reason.removeprefix(f"{name}: ")
                if name not in ran and name not in found[told]:
                    found[told].append(name)
        return {reason: names for reason, names in found.items() if names}

    def not_streamed(self) -> list[str]:
        """Return the schemes that were timed and not streamed, where any was streamed."""
        streamed = {name for name, *_ in self.streams}
        timed = dict.fromkeys(name for name, _ in self.rows)
        return [name for name in timed if name not in streamed] if streamed else []


def join(runs: Iterable[tuple[str, Run]]) -> list[Group]:
    """Return the groups that files, each with its name, fall into, in the order of the files."""
    groups: dict[tuple[str, ...], list[tuple[str, Run]]] = defaultdict(list)
    for file, run in runs:
        suite = run.suite
        digests = (str(suite[part].get("digest", "")) for part in ("model", "images", "calibration"))
        key = (str(suite["machine"]["id"]), *digests)
        groups[key].append((file, run))
    alike = Counter(key[:-1] for key in groups)
    return [_group(files, tell_calibration=alike[key[:-1]] > 1) for key, files in groups.items()]


def _group(files: list[tuple[str, Run]], *, tell_calibration: bool) -> Group:
    found = parts(files)
    sources: list[Source] = []
    for part in found:
        superseded = part.others and not part.cells
        if not superseded and not any(source.add(part) for source in sources):
            sources.append(Source())
            sources[-1].add(part)
    sources.sort(key=lambda source: -source.size)
    _, run = files[0]
    told = f", INT8 calibrated on {run.suite['calibration'].get('origin', 'no images')}" if tell_calibration else ""
    return Group(f"{heading(run)}{told}", tuple(found), tuple(sources))


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
