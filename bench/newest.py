"""Which run's figures of a case stand in a table, where several runs hold it: the newest that are whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.case import parse_case

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.results import Row, Run

TimedCell = tuple[str, int]
"""A case timed by itself: its scheme and batch size."""
StreamCell = tuple[str, str, int, int]
"""A case streamed: its scheme, where the images came from, samples asked for, and batch size."""
Cell = TimedCell | StreamCell


@dataclass(frozen=True, slots=True)
class Shown:
    """What tables show of a run, and which of its figures give way to another run's."""

    file: str
    run: Run
    rows: Mapping[TimedCell, Row]
    streams: Mapping[StreamCell, Mapping[str, Any]]
    others: tuple[Other, ...]

    @property
    def cells(self) -> list[Cell]:
        """The cells that it gives."""
        found: list[Cell] = [*self.rows]
        return [*found, *self.streams]

    def ways(self, case: str) -> set[str]:
        """Return how the figures of a case that are this run's were measured: `timed`, `streamed`, both or neither."""
        found = {"timed" for row in self.rows.values() if row.case == case}
        return found | {"streamed" for each in self.streams.values() if each["case"] == case}


@dataclass(frozen=True, slots=True)
class Other:
    """A figure that is not shown, beside the one that is."""

    fps_ratio: float | None
    """Its FPS over those shown; None where those are 0, of a stream that did no image."""
    dice_apart: float | None
    """Between their Dice against FP32; None of a stream, which has none."""


@dataclass(frozen=True, slots=True)
class _Figure:
    fps: float
    dice: float | None
    lacks: int
    """Nothing (0); 1 where its case failed in the same session or its stream was cut, 2 where that did no image."""


def newest(files: Sequence[tuple[str, Run]]) -> list[Shown]:
    """Return what is shown of each file, in the order given; a cell that several files hold is shown of one of them.

    That is the one whose session began last; of the same second, the one given first. But any whole figure comes before
    one whose case failed in the same session or whose stream was cut, and a stream that did no image comes last.
    """
    held = [_figures(run) for _, run in files]
    order = sorted(range(len(files)), key=lambda number: began(files[number][1]), reverse=True)
    owner: dict[Cell, int] = {}
    for lacks in range(3):
        for number in order:
            for key in (key for key, figure in held[number].items() if figure.lacks == lacks):
                owner.setdefault(key, number)
    return [
        Shown(
            file,
            run,
            {key: row for key, row in _rows(run).items() if owner[key] == number},
            {key: found for key, found in _streams(run).items() if owner[key] == number},
            tuple(_other(one, held[owner[key]][key]) for key, one in held[number].items() if owner[key] != number),
        )
        for number, (file, run) in enumerate(files)
    ]


def began(run: Run) -> str:
    """Return when a run's session began, in UTC, so that text sorts as time; a run that does not say is the oldest."""
    return str(run.suite.get("measured", ""))


def scheme(case: str) -> str:
    """Return a case's backend and precision, as tables name them."""
    parsed = parse_case(case)
    return f"{parsed.backend} {parsed.precision}"


def _other(one: _Figure, shown: _Figure) -> Other:
    apart = None if one.dice is None or shown.dice is None else abs(one.dice - shown.dice)
    return Other(one.fps / shown.fps if shown.fps else None, apart)


def _figures(run: Run) -> dict[Cell, _Figure]:
    found: dict[Cell, _Figure] = {
        key: _Figure(row.fps, row.info["dice_fp32"]["mean"], int(row.case in run.failed))
        for key, row in _rows(run).items()
    }
    for key, each in _streams(run).items():
        lacks = int(each["partial"] or each["case"] in run.failed) if each["done"] else 2
        found[key] = _Figure(each["fps"], None, lacks)
    return found


def _rows(run: Run) -> dict[TimedCell, Row]:
    return {(scheme(case), row.batch_size): row for case, row in run.rows.items()}


def _streams(run: Run) -> dict[StreamCell, Mapping[str, Any]]:
    return {_stream_key(found): found for found in run.streams}


def _stream_key(found: Mapping[str, Any]) -> StreamCell:
    samples = found.get("samples", found["done"])
    return scheme(found["case"]), str(found.get("source", "memory")), samples, parse_case(found["case"]).batch_size
