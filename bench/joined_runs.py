"""Runs of one machine, model and image set put together, for tables: what each cell is, and from which file."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.newest import began, newest, scheme
from bench.report import heading, remarks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.newest import Cell, Shown, StreamCell, TimedCell
    from bench.results import Row, Run

_NAMES = ("python", "torch", "tensorrt", "onnxruntime", "openvino", "cuda_driver")
"""Versions worth a place in a document; the JSON holds them all."""


@dataclass(slots=True)
class Files:
    """Files whose versions agree."""

    environment: dict[tuple[str, str], object] = field(default_factory=dict)
    """Driver, threads and versions; a library that one file's machine lacked is as the others found it."""
    shown: list[Shown] = field(default_factory=list)

    def add(self, shown: Shown) -> bool:
        """Take a file; False, and it is not taken, where a version differs."""
        environment = _environment(shown.run)
        if any(environment[name] != self.environment[name] for name in environment.keys() & self.environment.keys()):
            return False
        self.environment |= environment
        self.shown.append(shown)
        return True

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        return [shown.file for shown in self.shown]

    @property
    def size(self) -> int:
        """How many cells they give."""
        return sum(len(shown.cells) for shown in self.shown)

    @property
    def origin(self) -> str:
        """When they were measured, beside a GPU on how many cores, and with which versions."""
        days = sorted({began(shown.run)[:10] for shown in self.shown})
        # Sorted by place: what a row tells of itself has the last word, as of its build of PyTorch.
        versions = {name: self.environment[place, name] for place, name in sorted(self.environment)}
        told = [f"{name.replace('_', ' ')} {versions[name]}" for name in _NAMES if name in versions]
        machine = self.shown[0].run.suite["machine"]
        cores = [f"{machine['cores']} CPU cores"] if machine["gpu"] else []
        return ", ".join([days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}", *cores, *told])


@dataclass(frozen=True, slots=True)
class Group:
    """All that was measured of one model, image set and calibration on one machine; each cell is of one file."""

    heading: str
    shown: tuple[Shown, ...]
    """Of each file."""
    files: tuple[Files, ...]
    """Those that give a cell, or hold none at all; the ones that give most come first."""

    @property
    def rows(self) -> dict[TimedCell, Row]:
        """The row of each case that was timed."""
        return {key: row for shown in self.shown for key, row in shown.rows.items()}

    @property
    def streams(self) -> dict[StreamCell, Mapping[str, Any]]:
        """The figures of each stream."""
        return {key: found for shown in self.shown for key, found in shown.streams.items()}

    @property
    def speedups(self) -> dict[TimedCell, float]:
        """Over the FP32 reference of the same file, where that file holds it."""
        return {
            key: row.info["speedup"]
            for shown in self.shown
            for key, row in shown.rows.items()
            if row.info.get("speedup_over") in shown.run.rows
        }

    @property
    def numbers(self) -> dict[Cell, int]:
        """The number of each cell's files, from 1."""
        return {
            key: number for number, files in enumerate(self.files, 1) for shown in files.shown for key in shown.cells
        }

    def remarks(self) -> list[str]:
        """Return what is worth knowing of the rows shown, and what failed."""
        found: dict[str, None] = {}
        for shown in self.shown:
            run = replace(shown.run, rows={row.case: row for row in shown.rows.values()})
            found |= dict.fromkeys(note for note in remarks(run) if not note.startswith("skipped "))
        return [*found, *(f"{', '.join(cases)}: {reason}" for reason, cases in self._failed().items())]

    def _failed(self) -> dict[str, list[str]]:
        """Return the cases that failed, by the reason, which names none of them."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for shown in self.shown:
            for case, reason in shown.run.failed.items():
                told = reason.removeprefix("Failed: ").removeprefix(f"{case} was ")
                found[told][f"{case}{self._elsewhere(case, shown)}"] = None
        return {reason: list(cases) for reason, cases in found.items()}

    def _elsewhere(self, case: str, failed: Shown) -> str:
        """Return whether other runs show of a case what the one in which it failed does not, timed or streamed."""
        own = failed.ways(case)
        others = [shown for shown in self.shown if shown.ways(case) - own]
        if not others:
            return ""
        last, then = max(began(shown.run) for shown in others), began(failed.run)
        when = "another" if last == then else "a later" if last > then else "an earlier"
        (way,) = others[0].ways(case) - own if own else ["measured"]
        return f" ({way} in {when} run)"

    def not_run(self) -> dict[str, list[str]]:
        """Return the schemes or backends that no file has a cell of, by the reason.

        Reasons that files with figures of the backend give come before others. Of the others one is void that was also
        given of a scheme of that backend which has a cell: then only a library was missing where it was given.
        """
        ran = {key[0] for shown in self.shown for key in shown.cells}
        tried = ran | {_backend(name) for name in ran}
        tried |= {scheme(case) for shown in self.shown for case in shown.run.failed if "-" in case}
        reasons = self._reasons()
        disproved = {(_backend(name), reason) for name in ran for reason in reasons.get(name, ())}
        found: dict[str, list[str]] = defaultdict(list)
        for name in (name for name in reasons if name not in tried):
            backend, given = _backend(name), reasons[name]
            own = [reason for reason, has_figures in given.items() if has_figures]
            others = [reason for reason in given if (backend, reason) not in disproved]
            for reason in own or others or [f"not tried where {backend} ran"]:
                found[reason].append(name)
        return found

    def _reasons(self) -> dict[str, dict[str, bool]]:
        """Return why schemes or backends were skipped, and whether a file that says so has figures of the backend."""
        found: dict[str, dict[str, bool]] = defaultdict(dict)
        for shown in self.shown:
            run = shown.run
            measured = {_backend(scheme(case)) for case in [*run.rows, *(each["case"] for each in run.streams)]}
            for case, reason in run.skipped.items():
                name = scheme(case) if "-" in case else case
                told = reason.removeprefix(f"{name}: ")
                found[name][told] = found[name].get(told, False) or _backend(name) in measured
        return found

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
    return [_group(held, tell_calibration=alike[key[:-1]] > 1) for key, held in groups.items()]


def _group(runs: list[tuple[str, Run]], *, tell_calibration: bool) -> Group:
    found = newest(runs)
    files: list[Files] = []
    for shown in found:
        superseded = shown.others and not shown.cells
        if not superseded and not any(alike.add(shown) for alike in files):
            files.append(Files())
            files[-1].add(shown)
    files.sort(key=lambda alike: -alike.size)
    _, run = runs[0]
    told = f", INT8 calibrated on {run.suite['calibration'].get('origin', 'no images')}" if tell_calibration else ""
    return Group(f"{heading(run)}{told}", tuple(found), tuple(files))


def _backend(name: str) -> str:
    """Return the backend of a scheme, or the backend itself."""
    return name.partition(" ")[0]


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
