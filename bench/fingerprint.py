"""What two runs must share to be compared, what may differ and is named, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.results import Run


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a fingerprint."""

    name: str
    field: str
    speed: bool
    """Whether a difference voids the comparison of speed."""
    accuracy: bool
    """Whether it voids that of accuracy."""
    why: str
    beside_gpu: bool = True
    """Whether it voids them for engines on a GPU too, where the CPU only feeds them; else it is named there."""


PARTS = (
    Part("GPU", "gpu", speed=True, accuracy=True, why="kernels, and with them INT8 sums, differ between GPU models"),
    Part("CPU", "cpu", speed=True, accuracy=True, why="INT8 results differ between CPU models"),
    Part("vector units", "features", speed=True, accuracy=True, why="they decide which kernels a runtime picks"),
    Part("cores", "cores", speed=True, accuracy=False, why="engines use every core", beside_gpu=False),
    Part(
        "threads",
        "threads",
        speed=True,
        accuracy=False,
        why="the order of sums alone depends on them",
        beside_gpu=False,
    ),
    Part("system", "system", speed=True, accuracy=False, why="schedulers and libraries differ"),
    Part("driver", "driver", speed=False, accuracy=False, why="what it changes is what one wants to know"),
    Part("versions", "versions", speed=False, accuracy=False, why="what they change is what one wants to know"),
    Part("calibration", "calibration", speed=False, accuracy=False, why="a wrong calibration must be caught"),
)
"""Model and images are the key of an entry: another model, or other images, void both."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs, in words: all of it, and what of it voids the comparison of speed and of accuracy."""

    named: tuple[str, ...]
    speed: tuple[str, ...]
    accuracy: tuple[str, ...]


def surroundings(run: Run) -> dict[str, Any]:
    """Return the fingerprint of a whole run; the versions are each row's own."""
    calibration = run.suite["calibration"].get("digest", "")
    return {**run.suite["machine"], "threads": run.suite.get("threads", 0), "calibration": calibration}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Differences:
    """Return how two fingerprints differ; a field that either lacks is not judged."""
    found = [
        (part, f"{part.name} {_words(part, old[part.field], new[part.field])}")
        for part in PARTS
        if part.field in old and part.field in new and old[part.field] != new[part.field]
    ]
    on_gpu = bool(old.get("gpu") and new.get("gpu"))
    voids = [(part, text) for part, text in found if part.beside_gpu or not on_gpu]
    speed = tuple(text for part, text in voids if part.speed)
    accuracy = tuple(text for part, text in voids if part.accuracy)
    return Differences(tuple(text for _, text in found if text not in (*speed, *accuracy)), speed, accuracy)


def _words(part: Part, old: Any, new: Any) -> str:  # noqa: ANN401 - whatever the JSON holds
    if isinstance(old, dict) and isinstance(new, dict):
        changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        return ", ".join(f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}" for name in changed)
    if part.field == "calibration":
        return "images changed"
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return f"{' '.join(map(str, old)) or 'none'} -> {' '.join(map(str, new)) or 'none'}"
    return f"{old} -> {new}"
