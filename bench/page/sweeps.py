"""Files of `python -m bench sweep`, for a report to show beside runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jsonschema

from bench.page.parts import Point
from bench.results import RunFileError

if TYPE_CHECKING:
    from pathlib import Path

_POINT = {
    "type": "object",
    "required": ["batch_size", "fps", "share_of_ceiling"],
    "properties": {
        "batch_size": {"type": "integer", "minimum": 1},
        "fps": {"type": "number", "exclusiveMinimum": 0},
        "share_of_ceiling": {"type": ["number", "null"], "exclusiveMinimum": 0},
    },
}
_SCHEMA = {
    "type": "object",
    "required": ["machine", "sweep"],
    "properties": {
        "machine": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
        "sweep": {"type": "object", "additionalProperties": {"type": "array", "minItems": 1, "items": _POINT}},
    },
}


@dataclass(frozen=True, slots=True)
class Sweep:
    """FPS over batch sizes on one machine, by backend and precision."""

    file: str
    machine: str
    lines: tuple[tuple[str, tuple[Point, ...]], ...]


def read_sweep(path: Path) -> Sweep | None:
    """Return the sweep in a file, None where the file is something else; `RunFileError` when it is a broken sweep."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # Whoever reads it as a run says what is wrong with it.
    if not isinstance(data, dict) or "sweep" not in data:
        return None
    try:
        jsonschema.validate(data, _SCHEMA)
    except jsonschema.ValidationError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its top level"
        msg = f"{path}: a sweep with parts missing or wrong, at {place}: {error.message[:200]}"
        raise RunFileError(msg) from error
    lines = tuple((name, tuple(_point(point) for point in points)) for name, points in data["sweep"].items())
    return Sweep(path.name, data["machine"]["id"], lines)


def _point(found: dict[str, Any]) -> Point:
    share = found["share_of_ceiling"]
    return Point(found["batch_size"], found["fps"], found["fps"] / share if share else None)
