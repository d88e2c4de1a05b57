"""A digest inside each run and baseline file, over all that is judged in it: a number changed by hand is noticed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

FIELD = "checksum"


def checksum(data: Any) -> str:  # noqa: ANN401 - any JSON
    """Return the SHA-256 of JSON data, whatever its spacing and the order of its keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def run_checksum(data: dict[str, Any]) -> str:
    """Return the digest of what the suite put into a run's JSON: its own part and every row's `extra_info`."""
    own = {name: value for name, value in data["suite"].items() if name != FIELD}
    return checksum([own, [item["extra_info"] for item in data["benchmarks"]]])


def sealed(data: dict[str, Any]) -> dict[str, Any]:
    """Return a run's JSON with its digest in it."""
    return {**data, "suite": {**data["suite"], FIELD: run_checksum(data)}}
