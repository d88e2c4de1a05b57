"""Files of `python -m bench sweep`: what was swept on what, written whole after every point, and the table of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema

from bench.outputs import write_whole
from bench.results import RunFileError
from bench.roofline.share import ABOVE, passes
from bench.schema import check
from bench.stream.show import plain_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.table import Table

_SHARE = {"type": ["number", "null"], "minimum": 0}
_POINT = {
    "type": "object",
    "required": ["batch_size", "fps", "share_of_ceiling"],
    "properties": {
        "batch_size": {"type": "integer", "minimum": 1},
        "fps": {"type": "number", "exclusiveMinimum": 0},
        "share_of_ceiling": {"type": ["number", "null"], "exclusiveMinimum": 0},
        "outside_layers": _SHARE,
        "peak_memory_bytes": {"type": ["integer", "null"], "minimum": 0},
        "bound_by": {"type": "string"},
    },
}
_MODEL = {"type": "object", "required": ["name", "digest", "weights"]}
_SCHEMA = {
    "type": "object",
    "required": ["machine", "sweep"],
    "properties": {
        "machine": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
        "model": _MODEL,
        "image_size": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "sweep": {"type": "object", "additionalProperties": {"type": "array", "minItems": 1, "items": _POINT}},
        "sessions": {"type": "array", "items": {"type": "object"}},
        "ended": {"type": "object", "additionalProperties": {"type": "string"}},
        "roofline": {"type": "object"},
    },
}
_SAME = ("machine", "driver", "threads", "model", "weights", "image size", "calibration images")
_SHOWN = ("share_of_ceiling", "outside_layers", "peak_memory_bytes")
_MIB = 2**20


def is_sweep(data: object) -> bool:
    """Whether JSON is meant to be a sweep."""
    return isinstance(data, dict) and "sweep" in data


def read_file(path: Path) -> dict[str, Any]:
    """Return the sweep in a file; `RunFileError` where it is none, or has parts missing or wrong.

    The first files held no model, size or sessions: they can be read, and not be added to.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path}: no sweep can be read there ({error})"
        raise RunFileError(msg) from error
    if not is_sweep(data):
        msg = f"{path}: this is no file of python -m bench sweep"
        raise RunFileError(msg)
    return checked(data, path)


def checked(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a sweep's JSON; `RunFileError` where parts of it are missing or wrong."""
    try:
        check(data, _SCHEMA)
    except jsonschema.ValidationError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its top level"
        msg = f"{path}: a sweep with parts missing or wrong, at {place}: {error.message[:200]}"
        raise RunFileError(msg) from error
    return data


def new(subject: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sweep without points: `subject` holds machine, threads, model, image size and calibration images."""
    return {"schema": 2, **subject, "sessions": [], "ended": {}, "sweep": {}, "roofline": {"cases": {}}}


def check_same(data: Mapping[str, Any], path: Path, other: Mapping[str, Any], what: str) -> None:
    """Raise `RunFileError` unless a file's sweep and another are of one machine, model and image size."""
    if "model" not in data:
        msg = f"{path}: it does not say of which model it is (its format is older): sweep anew, into another file"
        raise RunFileError(msg)
    ours, theirs = _identity(data), _identity(other)
    differ = [f"{name} {ours[name]}, not {theirs[name]}" for name in _SAME if ours[name] != theirs[name]]
    if differ:
        msg = f"{path}: {what} is of something else ({'; '.join(differ)}): give another file"
        raise RunFileError(msg)


def add(data: dict[str, Any], line: str, point: Mapping[str, Any], roofline: Mapping[str, Any]) -> None:
    """Put a point into a sweep at its place, with what the roofline of its session holds so far.

    Ceilings are those of the session that measured the case, so that no share is of another day's ceiling.
    """
    points = data["sweep"].setdefault(line, [])
    points.append(dict(point))
    points.sort(key=lambda each: each["batch_size"])
    session, kept = data["sessions"][-1], data["roofline"]
    session["cases"].append(f"{line}-b{point['batch_size']}")
    session["ceilings"] = roofline["ceilings"]
    least = {**kept.get("network", {}).get("least_bytes", {}), **roofline["network"]["least_bytes"]}
    kept["network"] = {**roofline["network"], "least_bytes": least}
    kept["cases"].update(roofline["cases"])


def measured(data: Mapping[str, Any], line: str) -> set[int]:
    """Return the batch sizes of a line that a sweep holds."""
    return {point["batch_size"] for point in data["sweep"].get(line, ())}


def save(data: Mapping[str, Any], path: Path) -> None:
    """Write a sweep whole; `RunFileError` where it cannot be written."""
    write(path, (json.dumps(data, indent=1) + "\n").encode())


def write(path: Path, content: bytes) -> None:
    """Write a file of a sweep whole, its plot too; `RunFileError` where it cannot be written."""
    try:
        write_whole(path, content)
    except OSError as error:
        msg = f"{path}: it cannot be written ({error.strerror})"
        raise RunFileError(msg) from error


def joined(paths: Sequence[Path]) -> dict[str, Any]:
    """Return the lines of several files of one machine, model and size as one sweep; `RunFileError` otherwise."""
    first = read_file(paths[0])
    for path in paths[1:]:
        other = read_file(path)
        check_same(first, paths[0], first, "it")
        check_same(other, path, first, "it")
        twice = [line for line in other["sweep"] if line in first["sweep"]]
        if twice:
            msg = f"{path}: {', '.join(twice)} is in another of the files too: leave one out"
            raise RunFileError(msg)
        first["sweep"] |= other["sweep"]
        first["ended"] = {**first.get("ended", {}), **other.get("ended", {})}
        first.setdefault("roofline", {}).setdefault("cases", {}).update(other.get("roofline", {}).get("cases", {}))
    return first


def title(data: Mapping[str, Any]) -> str:
    """Return what was swept: model and size where the file holds them, and the machine."""
    machine = data["machine"]
    place = machine.get("gpu") or f"{machine.get('cpu', machine['id'])}, {machine.get('cores', '?')} cores"
    if "model" not in data:
        return str(place)
    return f"{data['model']['name']}, {'x'.join(map(str, data['image_size']))}, {place}"


def table(data: Mapping[str, Any]) -> Table:
    """Return a line per case: FPS, share of the ceiling, what binds, launch gaps, memory."""
    found = plain_table(title(data))
    found.add_column("case", no_wrap=True)
    for name in ("FPS", "of ceiling", "bound by", "launch gaps", "MiB"):
        found.add_column(name, justify="left" if name == "bound by" else "right", no_wrap=True)
    cases = data.get("roofline", {}).get("cases", {})
    for line, points in data["sweep"].items():
        if found.row_count:
            found.add_row()
        for point in points:
            case = f"{line}-b{point['batch_size']}"
            share, gaps, memory = (
                point.get(key) for key in ("share_of_ceiling", "outside_layers", "peak_memory_bytes")
            )
            found.add_row(
                case,
                f"{point['fps']:.1f}",
                "-" if share is None else f"{share:.1%}",
                point.get("bound_by") or cases.get(case, {}).get("bound_by", "-"),
                "-" if gaps is None else f"{gaps:.1%}",
                "-" if memory is None else f"{memory / _MIB:.0f}",
            )
    if passes(point.get("share_of_ceiling") for points in data["sweep"].values() for point in points):
        found.caption, found.caption_justify = ABOVE, "left"
    return found


def ended(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return why lines ended before the largest batch size, with the lines that each reason is of."""
    found: dict[str, list[str]] = {}
    for line, reason in data.get("ended", {}).items():
        found.setdefault(reason.replace(f": {line.partition('-')[0]}: ", ": ", 1), []).append(line)
    return found


def _identity(data: Mapping[str, Any]) -> dict[str, Any]:
    machine, model = data["machine"], data["model"]
    height, width = data["image_size"]
    values = (
        machine["id"], machine.get("driver"), data.get("threads"), f"{model['name']} ({model['digest'][:12]})",
        model["weights"], f"{height}x{width}", str((data.get("calibration") or {}).get("digest"))[:12],
    )  # fmt: skip
    return dict(zip(_SAME, values, strict=True))
