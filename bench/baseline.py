"""The stored baseline of one machine as a file: read whole and unchanged by hand, or refused; written in one step."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

from bench.case import ID_SCHEMA
from bench.checksum import FIELD, checksum
from bench.entries import Acceptance, Baseline, BaselineEntry, Record, StoredRun, Waiver
from bench.outputs import write_whole
from bench.schema import check
from bench.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Baseline", "BaselineEntry", "BaselineError", "load_baseline", "save_baseline"]

SCHEMA = 2
FOLDER = Path(__file__).parent.parent / "fixtures" / "baselines"
"""Where the reviewed baselines are, one file per machine."""

_TEXT = {"type": "string"}
_SCORES = {"type": "array", "items": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}}}
_SECONDS = {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}}


def _object(required: Mapping[str, Any], **others: Any) -> dict[str, Any]:  # noqa: ANN401 - any schema
    """Return the schema of an object with these fields and no other."""
    properties = {**required, **others}
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


_RUN = _object(
    {
        "measured": _TEXT,
        "visits": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "items": _SECONDS, "minItems": 2, "maxItems": 2},
        },
        "dice_fp32": _SCORES,
        "dice_truth": {"anyOf": [_SCORES, {"type": "null"}]},
    },
    engine=_TEXT,
)
_ACCEPTED = _object(dict.fromkeys(("who", "when", "why", "commit"), _TEXT))
_RECORD = _object({"accepted": _ACCEPTED, "runs": {"type": "array", "minItems": 1, "items": _RUN}})
_NAMES = ("model", "model_digest", "images", "images_digest", "calibration")
_ENTRY = _object(
    {
        "case": ID_SCHEMA,
        **dict.fromkeys(_NAMES, _TEXT),
        "threads": {"type": "integer"},
        "versions": {"type": "object"},
        "current": _RECORD,
        **{name: {"anyOf": [_RECORD, {"type": "null"}]} for name in ("previous", "anchor")},
    }
)
_WAIVER = _object(
    {
        **dict.fromkeys(("case", "reason", "expires", "who"), _TEXT),
        "limit": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    }
)
JSON_SCHEMA: dict[str, Any] = _object(
    {
        "schema": {"const": SCHEMA},
        FIELD: _TEXT,
        "machine": {"type": "object", "required": ["id"]},
        "waivers": {"type": "array", "items": _WAIVER},
        "entries": {"type": "array", "items": _ENTRY},
    }
)


class BaselineError(ValueError):
    """A baseline file that cannot be used; the text names the file and the fault."""


def load_baseline(path: Path) -> Baseline | None:
    """Return the baseline in a file, None where there is no file; `BaselineError` when it is damaged or edited."""
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path}: not a baseline file: {error}"
        raise BaselineError(msg) from error
    _check_kind(data, path)
    try:
        check(data, JSON_SCHEMA)
    except jsonschema.ValidationError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its top level"
        msg = f"{path}: breaks the baseline schema at {place}: {error.message[:200]}"
        raise BaselineError(msg) from error
    if data[FIELD] != _digest(data):
        msg = (
            f"{path}: its checksum does not match what it holds: python -m bench baseline is the only way to change it"
        )
        raise BaselineError(msg)
    entries = [_entry(item) for item in data["entries"]]
    waivers = tuple(Waiver(**item) for item in data["waivers"])
    return Baseline(data["machine"], {entry.key: entry for entry in entries}, waivers)


def _check_kind(data: Any, path: Path) -> None:  # noqa: ANN401 - any JSON
    """Raise `BaselineError` for a file of something else, or of another version of the suite."""
    if not isinstance(data, dict) or "entries" not in data or "benchmarks" in data:
        msg = f"{path}: not a baseline; python -m bench baseline accept RUN RUN RUN --baseline FILE makes one of runs"
        raise BaselineError(msg)
    if data.get("schema") != SCHEMA:
        msg = (
            f"{path}: a baseline of another version of this suite (schema {data.get('schema')}, here {SCHEMA}): "
            "measure and accept it anew (make baseline), or judge with that version"
        )
        raise BaselineError(msg)


def save_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline in one step, its entries sorted, so that a review shows what changed."""
    data: dict[str, Any] = {
        "schema": SCHEMA,
        FIELD: "",
        "machine": baseline.machine,
        "waivers": [asdict(waiver) for waiver in baseline.waivers],
        "entries": [_packed(baseline.entries[key]) for key in sorted(baseline.entries)],
    }
    data[FIELD] = _digest(data)
    check(json.loads(json.dumps(data)), JSON_SCHEMA)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, _dumped(data).encode())


def _digest(data: dict[str, Any]) -> str:
    return checksum({name: value for name, value in data.items() if name != FIELD})


def _packed(entry: BaselineEntry) -> dict[str, Any]:
    records = ("current", "previous", "anchor")
    return {**asdict(entry), **{name: _packed_record(getattr(entry, name)) for name in records}}


def _packed_record(record: Record | None) -> dict[str, Any] | None:
    if record is None:
        return None
    runs = [{**asdict(run), "visits": [visit.packed() for visit in run.visits]} for run in record.runs]
    for run in runs:
        del run["reruns"]
    return {"accepted": asdict(record.accepted), "runs": runs}


def _entry(item: dict[str, Any]) -> BaselineEntry:
    found = BaselineEntry(**{**item, "current": _record(item["current"])})
    return replace(
        found,
        previous=_record(item["previous"]) if item["previous"] else None,
        anchor=_record(item["anchor"]) if item["anchor"] else None,
    )


def _record(item: dict[str, Any]) -> Record:
    runs = [{**run, "visits": tuple(Visit.unpacked(visit) for visit in run["visits"])} for run in item["runs"]]
    return Record(Acceptance(**item["accepted"]), tuple(StoredRun(**run) for run in runs))


def _dumped(data: dict[str, Any]) -> str:
    """Return JSON with one line per field of an entry: short, and changes show line by line."""
    entries = []
    for entry in data["entries"]:
        fields = ",\n".join(f"   {json.dumps(name)}: {json.dumps(value)}" for name, value in entry.items())
        entries.append("  {\n" + fields + "\n  }")
    head = json.dumps({name: value for name, value in data.items() if name != "entries"}, indent=1)[1:-2]
    return "{" + head + ',\n "entries": [\n' + ",\n".join(entries) + "\n ]\n}\n"
