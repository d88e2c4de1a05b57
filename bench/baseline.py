"""The stored baseline of one machine: what an accepted run measured, keyed by case, model and image set."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.results import Run

SCHEMA = 1

_SCORES = {"type": "array", "items": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}}}
JSON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["schema", "machine", "entries"],
    "additionalProperties": False,
    "properties": {
        "schema": {"const": SCHEMA},
        "machine": {"type": "object", "required": ["id"]},
        "entries": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "case",
                    "model",
                    "model_digest",
                    "images_digest",
                    "fps",
                    "samples_s",
                    "dice_fp32",
                    "dice_truth",
                    "versions",
                ],
                "additionalProperties": False,
                "properties": {
                    "case": {"type": "string"},
                    "model": {"type": "string"},
                    "model_digest": {"type": "string"},
                    "images": {"type": "string"},
                    "images_digest": {"type": "string"},
                    "fps": {"type": "number", "exclusiveMinimum": 0},
                    "samples_s": {"type": "array", "minItems": 1, "items": {"type": "number", "exclusiveMinimum": 0}},
                    "dice_fp32": _SCORES,
                    "dice_truth": {"anyOf": [_SCORES, {"type": "null"}]},
                    "versions": {"type": "object"},
                },
            },
        },
    },
}


class BaselineError(ValueError):
    """A baseline file that cannot be used; the text names the file and the fault."""


@dataclass(frozen=True, slots=True)
class BaselineEntry:
    """What one case measured on one model and one image set when it was accepted."""

    case: str
    model: str
    model_digest: str
    images: str
    images_digest: str
    fps: float
    samples_s: list[float]
    dice_fp32: list[list[float]]
    dice_truth: list[list[float]] | None
    versions: dict[str, str]

    @property
    def key(self) -> tuple[str, str, str]:
        """Case, model and image set: what a later run must share to be compared."""
        return self.case, self.model_digest, self.images_digest


@dataclass(frozen=True, slots=True)
class Baseline:
    """All accepted entries of one machine."""

    machine: dict[str, Any]
    entries: dict[tuple[str, str, str], BaselineEntry]

    def find(self, case: str, model_digest: str, images_digest: str) -> BaselineEntry | None:
        """Return the entry of this case on this model and image set, if there is one."""
        return self.entries.get((case, model_digest, images_digest))

    def others(self, case: str) -> list[BaselineEntry]:
        """Return the case's entries, whatever their model and image set."""
        return [entry for entry in self.entries.values() if entry.case == case]


def load_baseline(path: Path) -> Baseline | None:
    """Return the baseline in a file, None where there is no file; `BaselineError` when it breaks the schema."""
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.validate(data, JSON_SCHEMA)
    except (OSError, ValueError) as error:
        msg = f"{path}: not a baseline file: {error}"
        raise BaselineError(msg) from error
    except jsonschema.ValidationError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its top level"
        msg = f"{path}: breaks the baseline schema at {place}: {error.message[:200]}"
        raise BaselineError(msg) from error
    entries = [BaselineEntry(**{"images": "", **item}) for item in data["entries"]]
    return Baseline(data["machine"], {entry.key: entry for entry in entries})


def entries_of(run: Run) -> list[BaselineEntry]:
    """Return the entries that accepting this run would store."""
    suite = run.suite
    return [
        BaselineEntry(
            case=row.case,
            model=suite["model"]["name"],
            model_digest=suite["model"]["digest"],
            images=suite["images"]["origin"],
            images_digest=suite["images"]["digest"],
            fps=row.fps,
            samples_s=list(row.samples_s),
            dice_fp32=row.info["dice_fp32"]["per_image"],
            dice_truth=row.info["dice_truth"]["per_image"] if row.info["dice_truth"] else None,
            versions=dict(row.info["versions"]),
        )
        for row in run.rows.values()
    ]


def updated(baseline: Baseline | None, machine: dict[str, Any], entries: Iterable[BaselineEntry]) -> Baseline:
    """Return the baseline with these entries put in, in place of those with the same key."""
    merged = dict(baseline.entries) if baseline else {}
    merged.update({entry.key: entry for entry in entries})
    return Baseline(machine, merged)


def save_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline in one step, its entries sorted, so that a review shows what changed."""
    data = {
        "schema": SCHEMA,
        "machine": baseline.machine,
        "entries": [asdict(baseline.entries[key]) for key in sorted(baseline.entries)],
    }
    jsonschema.validate(data, JSON_SCHEMA)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".baseline-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_dumped(data))
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _dumped(data: dict[str, Any]) -> str:
    """Return JSON with one line per field of an entry: short files that still show changes line by line."""
    entries = []
    for entry in data["entries"]:
        fields = ",\n".join(f"   {json.dumps(name)}: {json.dumps(value)}" for name, value in entry.items())
        entries.append("  {\n" + fields + "\n  }")
    head = json.dumps({"schema": data["schema"], "machine": data["machine"]}, indent=1)[1:-2]
    return "{" + head + ',\n "entries": [\n' + ",\n".join(entries) + "\n ]\n}\n"
