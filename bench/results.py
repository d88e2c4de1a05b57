"""A run's JSON as values: the rows that were measured, and the cases that were not, with the reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jsonschema

from bench.case import ID_SCHEMA, PRECISIONS
from bench.checksum import FIELD, run_checksum
from bench.counted import counted_fps
from bench.schema import check
from bench.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA = 1
"""Version of what the suite adds to pytest-benchmark's JSON, under `suite` and each row's `extra_info`."""


_TEXT = {"type": "string"}
_REASONS = {"type": "object", "additionalProperties": _TEXT}
_BASE64 = {"type": "string", "pattern": "^[A-Za-z0-9+/]*={0,2}$"}
_SHARED = {
    "type": "object",
    "required": ["window", "input", "truth", "fp32"],
    "properties": {
        "window": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
        "input": _BASE64,
        "truth": {"anyOf": [_BASE64, {"type": "null"}]},
        "fp32": _BASE64,
    },
}
_MASK = {"type": "object", "required": ["image", "differs"], "properties": {"image": _TEXT, "differs": _BASE64}}
_PICTURES = {
    "type": "object",
    "required": ["classes", "images", "masks", "left_out"],
    "properties": {
        "classes": {"type": "integer", "minimum": 2, "maximum": 256},
        "images": {"type": "object", "additionalProperties": _SHARED},
        "masks": {"type": "object", "additionalProperties": _MASK},
        "left_out": {"type": "array", "items": _TEXT},
    },
}
_PIXELS = {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 2, "items": {"type": "integer"}}}
_SUITE = {
    "type": "object",
    "required": ["machine", "model", "images", "calibration", "asked", "selected", "skipped", "failed"],
    "properties": {
        "machine": {"type": "object", "required": ["id", "cpu", "cores", "gpu"]},
        "model": {"type": "object", "required": ["name", "digest"]},
        "images": {"type": "object", "required": ["origin", "digest", "count", "size"]},
        "calibration": {"type": "object"},
        "asked": {"type": "object", "required": ["precisions", "batch_sizes"]},
        "selected": {"type": "array", "items": _TEXT},
        "skipped": _REASONS,
        "failed": _REASONS,
        "fp32_pixels": {"anyOf": [_PIXELS, {"type": "null"}]},
        "pictures": _PICTURES,
        "inference": {"type": "boolean"},
    },
}
_SCORE = {"type": "number", "minimum": 0, "maximum": 1}
_PER_IMAGE = {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 2, "items": _SCORE}}
_DICE = {
    "type": "object",
    "required": ["mean", "worst", "worst_image", "per_image"],
    "properties": {"mean": _SCORE, "worst": _SCORE, "worst_image": _TEXT, "per_image": _PER_IMAGE},
}
_SECONDS = {"type": "array", "minItems": 1, "items": {"type": "number", "exclusiveMinimum": 0}}
_CANARY = {**_SECONDS, "minItems": 2, "maxItems": 2}
_STAGES = {"type": "object", "additionalProperties": {"type": "number"}}
_STREAM = {
    "type": "object",
    "required": ["case", "done", "partial", "runtime_s", "fps", "share_of_engine", "latency_ms", "stages_s", "plain"],
    "properties": {
        "case": ID_SCHEMA,
        "stages_s": _STAGES,
        "cold_start_s": _STAGES,
        "workers": {"type": "integer", "minimum": 1},
        "workers_read": {"type": "integer", "minimum": 0},
        "workers_s": _STAGES,
    },
    "dependentRequired": {"workers_read": ["workers", "workers_s"]},
}
_VISITS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["samples_s", "canary_s"],
        "properties": {"samples_s": _SECONDS, "canary_s": _CANARY},
    },
}
_ROW = {
    "type": "object",
    "required": ["case", "precision", "batch_size", "samples_s", "images", "dice_fp32", "dice_truth", "versions"],
    "properties": {
        "case": ID_SCHEMA,
        "precision": {"enum": list(PRECISIONS)},
        "batch_size": {"type": "integer", "minimum": 1},
        "samples_s": _SECONDS,
        "images": {"type": "array", "items": _TEXT},
        "dice_fp32": _DICE,
        "dice_truth": {"anyOf": [_DICE, {"type": "null"}]},
        "versions": {"type": "object"},
        "canary_s": _CANARY,
        "again": _VISITS,
        "reruns": _VISITS,
    },
}


class RunFileError(ValueError):
    """A file that is not a run of this suite; the text names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured case."""

    case: str
    precision: str
    batch_size: int
    fps: float
    """Images per second, from the median of the rounds; of a case that was timed again, as the gate counts it."""
    samples_s: tuple[float, ...]
    """Seconds per inference of each round, in order."""
    info: Mapping[str, Any]
    """The row's `extra_info`."""

    @property
    def visits(self) -> tuple[Visit, ...]:
        """The case's rounds, and those timed again because the gate was undecided, each with its canary."""
        first = {"samples_s": self.samples_s, "canary_s": self.info.get("canary_s")}
        return tuple(_visit(item) for item in (first, *self.info.get("again", ())))

    @property
    def reruns(self) -> tuple[Visit, ...]:
        """A visit from each further process that timed the case because the gate was undecided."""
        return tuple(_visit(item) for item in self.info.get("reruns", ()))


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmarks."""

    rows: Mapping[str, Row]
    skipped: Mapping[str, str]
    failed: Mapping[str, str]
    selected: tuple[str, ...]
    """Every case the run was asked for, run or not."""
    suite: Mapping[str, Any]
    """Model, images, calibration, machine and versions, and where they were taken the roofline and the pictures."""
    streams: tuple[Mapping[str, Any], ...] = ()
    """The figures of each case's stream, as `bench/stream/measure.py` writes them."""

    @property
    def half_failed(self) -> dict[str, str]:
        """The cases that have a row and failed all the same, such as one whose stream did, with the reason."""
        return {case: reason for case, reason in self.failed.items() if case in self.rows}


def read_run(path: Path) -> Run:
    """Return the run in a file written by `pytest bench/ --benchmark-json`; `RunFileError` otherwise."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror})"
        raise RunFileError(msg) from error
    except ValueError as error:
        msg = f"{path}: not JSON ({error}); was the run cut short?"
        raise RunFileError(msg) from error
    run = parse_run(data, str(path))
    if data["suite"].get(FIELD) != run_checksum(data):
        msg = f"{path}: its checksum does not match what it holds: it was changed after it was measured"
        raise RunFileError(msg)
    return run


def parse_run(data: Any, origin: str) -> Run:  # noqa: ANN401 - checked here
    """Return the run in parsed JSON; `RunFileError` names `origin` when it is none."""
    suite = data.get("suite") if isinstance(data, dict) else None
    if not isinstance(suite, dict) or suite.get("schema") != SCHEMA:
        msg = f"{origin}: not a run of this suite (schema {SCHEMA}); pytest bench/ --benchmark-json FILE writes one"
        raise RunFileError(msg)
    try:
        check(suite, _SUITE)
        rows = [_row(item["extra_info"]) for item in data["benchmarks"] if "case" in item["extra_info"]]
        streams = [
            _stream(item["extra_info"]["stream"]) for item in data["benchmarks"] if "stream" in item["extra_info"]
        ]
    except jsonschema.ValidationError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its top level"
        msg = f"{origin}: a run of this suite with parts missing or wrong, at {place}: {error.message[:200]}"
        raise RunFileError(msg) from error
    except (KeyError, TypeError) as error:
        msg = f"{origin}: a run of this suite with parts missing ({type(error).__name__}: {error})"
        raise RunFileError(msg) from error
    return Run(
        rows={row.case: row for row in rows},
        skipped=dict(suite["skipped"]),
        failed=dict(suite["failed"]),
        selected=tuple(suite["selected"]),
        suite=suite,
        streams=tuple(streams),
    )


def _stream(info: Mapping[str, Any]) -> Mapping[str, Any]:
    check(info, _STREAM)
    return info


def _visit(item: Mapping[str, Any]) -> Visit:
    return Visit(tuple(item["samples_s"]), tuple(item["canary_s"]) if item["canary_s"] else None)


def _row(info: Mapping[str, Any]) -> Row:
    check(info, _ROW)
    if len(info["images"]) != len(info["dice_fp32"]["per_image"]):
        msg = f"{info['case']}: {len(info['images'])} images, but Dice of {len(info['dice_fp32']['per_image'])}"
        raise jsonschema.ValidationError(msg)
    samples = tuple(float(value) for value in info["samples_s"])
    return Row(info["case"], info["precision"], info["batch_size"], counted_fps(info), samples, info)
