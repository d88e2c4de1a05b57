"""From a case to a running engine: built once, found again on disk, keyed by all that decides it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.backend import OutOfMemoryError, load_backend
from bench.heap import keep_freed
from bench.machine import this_machine
from bench.memory import PeakMemory, release, within_free
from bench.source import source_digest
from bench.timing import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.backend import Backend, Engine
    from bench.case import Case
    from bench.source import NetworkSource

_LABEL_SHARE = 0.9
"""Share of the convolution FLOPs that must run at the precision a row is labelled with."""
_APART = {"backend", "case", "machine", "outputs", "timing"}
"""Modules of `bench` that decide no engine, or only by values that are in its key."""
_settled: set[tuple[str, str]] = set()
"""Backends, each with an arithmetic, of which this process has opened an engine to measure its memory."""


class LabelError(AssertionError):
    """An engine that does not run at the precision its case names."""


@dataclass(frozen=True, slots=True)
class OpenEngine:
    """An engine in memory, with what it took to get there."""

    case: Case
    engine: Engine
    build_s: float
    """Seconds of the build, this session's or the stored one's."""
    load_s: float
    built: bool
    """Whether this session built it."""
    memory: PeakMemory
    versions: dict[str, str]
    folder: Path
    """Where the engine's files lie."""
    digest: str
    """Digest of the engine's key and files: builds of one engine that differ in any byte differ here."""


@contextmanager
def open_engine(
    source: NetworkSource, case: Case, backend: Backend | None = None, name: str | None = None
) -> Iterator[OpenEngine]:
    """Build or find the case's engine, load it, and release it at the end of the block.

    Arrays beside the engine that do not fit raise `OutOfMemoryError` as an engine does, those inside the block too. On
    a CPU that is what is more than the memory free when it begins.

    Another `backend` than the case's own builds it another way, and its files lie under `name`.
    """
    maker = backend or load_backend(case.backend)
    label = name or case.id
    if source.device == "cpu":
        keep_freed()

    def build(folder: Path) -> None:
        source.say(f"building {label}")
        release(source.device)
        maker.build(source, case, folder)

    with _memory_errors(case), within_free(source.device):
        entry = source.cache.entry("engine", label, engine_key(maker, source, case), build)
        memory = PeakMemory(source.device)
        watch = Stopwatch()
        engine = maker.load(source, case, entry.folder)
        try:
            load_s = watch.elapsed_s
            memory.sample()
            yield OpenEngine(
                case,
                engine,
                entry.build_s,
                load_s,
                entry.built,
                memory,
                maker.versions(),
                entry.folder,
                entry.digest,
            )
        finally:
            engine.close()


@contextmanager
def _memory_errors(case: Case) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        msg = f"out of memory at batch {case.batch_size} ({error})"
        raise OutOfMemoryError(msg) from error


@contextmanager
def open_settled(source: NetworkSource, case: Case) -> Iterator[OpenEngine]:
    """Open the case's engine as `open_engine` does, its memory told without what its library keeps for good.

    A library's first engine in a process loads kernels and makes pools that stay, and a build does so as well. So the
    first one of a backend and arithmetic is opened and closed beforehand, and its load seconds, which hold all that,
    are told.
    """
    kind = case.backend, case.arithmetic
    told: dict[str, Any] = {}
    if kind not in _settled:
        with open_engine(source, case) as first:
            told = {"load_s": first.load_s, "built": first.built}
        _settled.add(kind)
    with open_engine(source, case) as opened:
        yield replace(opened, **told)


def engine_key(backend: Backend, source: NetworkSource, case: Case) -> dict[str, Any]:
    """Return everything that decides an engine: weights, graph, recipe, code, versions and machine."""
    recipe = backend.recipe(case, source.device)
    file = Path(str(getattr(backend, "__file__", "")))
    key: dict[str, Any] = {
        "case": case.id,
        "recipe": recipe,
        "code": source_digest(*_sources(file)),
        "versions": backend.versions(),
        "machine": asdict(this_machine(source.device)),
        "size": list(source.image_size),
        "threads": source.threads,
    }
    if "graph" in recipe:
        key["graph"] = source.graph_entry(recipe["graph"]).digest
    else:
        key["network"] = source.network.digest
    if case.arithmetic == "int8":
        key["calibration"] = source.calibration_set.digest
    return key


def check_label(case: Case, engine: Engine) -> None:
    """Raise `LabelError` unless the runtime's own account says the engine runs at the case's precision."""
    share = engine.achieved.get(case.arithmetic, 0.0)
    if share < _LABEL_SHARE:
        msg = (
            f"{case}: labelled {case.arithmetic}, but the runtime ran {describe_achieved(engine)} "
            f"of the convolution FLOPs (at least {_LABEL_SHARE:.0%} {case.arithmetic} wanted)"
        )
        raise LabelError(msg)


def describe_achieved(engine: Engine) -> str:
    """Return the number formats an engine ran in as words, the largest share first."""
    shares = sorted(engine.achieved.items(), key=lambda item: -item[1])
    return ", ".join(f"{share:.1%} {name}" for name, share in shares) or "nothing it could name"


def _sources(file: Path) -> set[Path]:
    """Return a backend's file and the shared modules that it names, directly or through another.

    Those beside it, and what these import from `bench` itself. Modules called `_*_run` hold what runs a built engine,
    and nothing that decides one.
    """
    helpers = {path.stem: path for path in file.parent.glob("_*.py") if not path.stem.endswith("_run")}
    found, new = set(), {file}
    while new:
        found |= new
        words = {word for path in new for word in re.findall(r"\b_\w+", path.read_text(encoding="utf-8"))}
        new = {helpers[word] for word in words & helpers.keys()} - found
    text = "\n".join(path.read_text(encoding="utf-8") for path in found)
    names = set(re.findall(r"from bench\.(\w+) import", text)) - _APART
    return found | {path for path in (file.parent.with_name(f"{name}.py") for name in names) if path.exists()}
