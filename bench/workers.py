"""Start and question worker processes (`bench.worker`), each in its own interpreter or checkout."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bench.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent
_LAST_WORDS_S = 10.0


class WorkerError(RuntimeError):
    """A worker that ended or answered nonsense; the text holds the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs: which interpreter, and the checkout whose code it imports."""

    python: str
    checkout: Path


HERE = Place(sys.executable, ROOT)


def place_of(text: str) -> Place:
    """Return the place that an interpreter's or a checkout's path names; `WorkerError` when it names neither.

    A checkout that has its own `.venv` runs in it, another in this interpreter.
    """
    path = Path(text)
    if (path / "bench" / "worker.py").is_file():
        own = path / ".venv" / "bin" / "python"
        return Place(str(own.absolute()) if own.exists() else sys.executable, path.resolve())
    if path.is_dir():
        msg = f"{text}: a folder, but not a checkout of this suite (it has no bench/worker.py)"
        raise WorkerError(msg)
    if not path.is_file() or not os.access(path, os.X_OK):
        msg = f"{text}: neither a Python interpreter nor a checkout"
        raise WorkerError(msg)
    return Place(str(path.absolute()), ROOT)


class Client:
    """One running worker."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str]) -> None:
        self._process = process
        self._log = log
        ready = self._receive()
        self.left_out: dict[str, str] = dict(ready.get("left_out", {}))
        """Cases whose engines would not open, with the reason; empty unless the spec tolerates that."""

    def need(self, case: str, where: str = "here") -> None:
        """Raise `WorkerError` with the reason where the case's engine would not open."""
        if case in self.left_out:
            msg = f"{case} cannot be opened {where}: {self.left_out[case]}"
            raise WorkerError(msg)

    def machine(self) -> dict[str, Any]:
        """Return the worker's machine and its runtimes' versions."""
        found: dict[str, Any] = self._ask({"do": "describe"})["machine"]
        return found

    def visit(self, case: str, seconds: float, *, canary: bool = True) -> Visit:
        """Return rounds of one case, timed now for about this long, with the canary beside them or without."""
        answer = self._ask({"do": "time", "case": case, "seconds": seconds, "canary": canary})
        return Visit.unpacked([answer["samples_s"], answer["canary_s"]])

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        stdin = self._process.stdin
        try:
            if stdin is not None:
                stdin.write(json.dumps(message) + "\n")
                stdin.flush()
        except OSError as error:
            raise self._ended() from error
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise self._ended() from error
        return found

    def _ended(self) -> WorkerError:
        return ended(f"the worker {self._process.args!s:.60}", self._process, self._log)


def ended(what: str, process: subprocess.Popen[str], log: IO[str]) -> WorkerError:
    """Return the error of a process that ended by itself, with its status and the end of what it wrote to `log`."""
    # Its answers end before its last words are written.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LAST_WORDS_S)
    log.seek(0)
    words = log.read()[-2000:].strip()
    return WorkerError(f"{what} ended with status {process.returncode}" + (f":\n{words}" if words else ""))


@contextmanager
def worker(place: Place, spec: Mapping[str, Any]) -> Iterator[Client]:
    """Start a worker and end it with the block; it is ready to time when the block begins."""
    command = [place.python, "-m", "bench.worker", json.dumps(dict(spec))]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(  # noqa: S603 - the interpreter that the user named
            command, cwd=place.checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            yield Client(process, log)
        finally:
            process.kill()
            process.communicate()
