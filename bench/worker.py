"""`python -m bench.worker SPEC`: holds engines warm and times them when told to, a JSON line each way."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bench.cache import Cache
from bench.canary import Canary
from bench.engines import LabelError
from bench.machine import this_machine
from bench.slowed import open_slowed, plain_case
from bench.source import NetworkSource
from bench.stored_images import stored_split
from bench.timing import inferences_per_round, rounds_s, warm_up
from models.images import from_folder, normalise
from models.network import load_network

if TYPE_CHECKING:
    from bench.backend import Engine

_ROUND_S = 0.01
_LEAST = 3
_CANARY_CALLS = 3
"""Fewer than a session's: a visit here is short, and its neighbours' readings are the same machine's."""
_CANNOT = (LabelError, RuntimeError, ValueError)
"""What an engine that cannot be opened raises: the backends' own errors and the libraries' are among these."""


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


class Worker:
    """The engines of some cases, open, each with a batch of calibration images copied in.

    `left_out` holds the cases whose engines would not open, with the reason, where the spec tolerates that.
    """

    def __init__(self, spec: dict[str, Any], stack: ExitStack) -> None:
        self._source, self._device = _source(spec), str(spec["device"])
        self._images = self._source.calibration_set
        self._canary = Canary(self._device, self._source.threads)
        self._canary_s: float | None = None
        self._warm_up_s, self._round_s = float(spec.get("warm_up_s", 0.3)), float(spec.get("round_s", _ROUND_S))
        self._engines: dict[str, Engine] = {}
        self._inferences: dict[str, int] = {}
        self.left_out: dict[str, str] = {}
        for name in spec["cases"]:
            # A collection before each engine takes a quarter of a second over all that torch has imported.
            gc.freeze()
            try:
                self._open(name, stack)
            except _CANNOT as error:
                if not spec.get("tolerant"):
                    raise
                self.left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0]

    def _open(self, name: str, stack: ExitStack) -> None:
        case, _ = plain_case(name)
        engine = stack.enter_context(open_slowed(self._source, name))
        rows = [index % len(self._images.names) for index in range(case.batch_size)]
        engine.copy_in(normalise(self._images.images[rows]))
        warm_up(engine, self._warm_up_s)
        self._inferences[name] = inferences_per_round(engine, self._round_s)
        self._engines[name] = engine

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return what this process is, or the rounds of one case between two readings of the canary.

        The reading after one visit is the one before the next.
        """
        if message["do"] == "describe":
            return {"machine": this_machine(self._device).as_dict()}
        engine, name = self._engines[message["case"]], message["case"]
        before_s = self._canary_s or self._canary.measure(_CANARY_CALLS) if message["canary"] else None
        engine.enqueue()
        engine.synchronize()
        samples_s = rounds_s(engine, self._inferences[name], float(message["seconds"]), _LEAST)
        self._canary_s = self._canary.measure(_CANARY_CALLS) if message["canary"] else None
        return {"samples_s": samples_s, "canary_s": [before_s, self._canary_s] if message["canary"] else []}


def _source(spec: dict[str, Any]) -> NetworkSource:
    """Return the source that a spec means; `ValueError` where it is not the one expected."""
    size = spec["image_size"] if isinstance(spec["image_size"], list) else [spec["image_size"]] * 2
    height, width = (int(side) for side in size)
    sys.path += [spec["import_from"]] if "import_from" in spec else []
    cache = Cache(Path(spec["cache_dir"]), _say)
    network = load_network(spec["model"], Path(spec["weights"]) if spec.get("weights") else None)
    if spec.get("images"):
        masks = Path(spec["masks"]) if spec.get("masks") else None
        images = from_folder(Path(spec["images"]), masks, (height, width))
    else:
        images = stored_split(cache, "calibration", (height, width))
    if spec.get("expected", [network.digest, images.digest]) != [network.digest, images.digest]:
        msg = f"{network.name} and {images.origin} are not those of the session"
        raise ValueError(msg)
    source = NetworkSource(network, images, (height, width), spec["device"], cache)
    source.threads = int(spec.get("threads") or source.threads)
    return source


def main(spec: dict[str, Any], questions: TextIO, answers: TextIO) -> None:
    """Open the engines, say so, and answer questions until there are no more."""
    with ExitStack() as stack:
        worker = Worker(spec, stack)
        answers.write(json.dumps({"ready": True, "left_out": worker.left_out}) + "\n")
        answers.flush()
        for line in questions:
            answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")
            answers.flush()


if __name__ == "__main__":
    # Libraries print to standard output: only the answers may go there.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as own, contextlib.redirect_stdout(sys.stderr):
        os.dup2(2, 1)
        main(json.loads(sys.argv[1]), sys.stdin, own)
