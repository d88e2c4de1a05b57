"""`python -m bench.worker SPEC`: holds engines warm and times them when told to, a JSON line each way."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bench.cache import Cache
from bench.canary import Canary
from bench.case import parse_case
from bench.engines import check_label, open_engine
from bench.machine import this_machine
from bench.source import NetworkSource
from bench.stored_images import stored_split
from bench.timing import Delayed, inferences_per_round, rounds_s, warm_up
from models.images import normalise
from models.network import load_network

if TYPE_CHECKING:
    from bench.backend import Engine

_ROUND_S = 0.02
_LEAST = 3


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


class Worker:
    """The engines of some cases, open, each with a batch of calibration images copied in."""

    def __init__(self, spec: dict[str, Any], stack: ExitStack) -> None:
        size = (int(spec["image_size"]), int(spec["image_size"]))
        cache = Cache(Path(spec["cache_dir"]), _say)
        images = stored_split(cache, "calibration", size)
        source = NetworkSource(load_network(spec["model"]), images, size, spec["device"], cache)
        source.threads = int(spec.get("threads") or source.threads)
        self._device = str(spec["device"])
        self._canary = Canary(self._device, source.threads)
        self._engines: dict[str, Engine] = {}
        self._inferences: dict[str, int] = {}
        for name in spec["cases"]:
            case = parse_case(name)
            engine = stack.enter_context(open_engine(source, case)).engine
            check_label(case, engine)
            if spec.get("slow"):
                engine = Delayed(engine, float(spec["slow"]))
            rows = [index % len(images.names) for index in range(case.batch_size)]
            engine.copy_in(normalise(images.images[rows]))
            warm_up(engine)
            self._engines[name] = engine
            self._inferences[name] = inferences_per_round(engine, _ROUND_S)

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return what this process is, or the rounds of one case between two readings of the canary."""
        if message["do"] == "describe":
            return {"machine": this_machine(self._device).as_dict()}
        engine, name = self._engines[message["case"]], message["case"]
        before = [self._canary.measure()] if message["canary"] else []
        engine.enqueue()
        engine.synchronize()
        samples_s = rounds_s(engine, self._inferences[name], float(message["seconds"]), _LEAST)
        return {"samples_s": samples_s, "canary_s": [*before, self._canary.measure()] if before else []}


def main(spec: dict[str, Any], questions: TextIO, answers: TextIO) -> None:
    """Open the engines, say so, and answer questions until there are no more."""
    with ExitStack() as stack:
        worker = Worker(spec, stack)
        answers.write(json.dumps({"ready": True}) + "\n")
        answers.flush()
        for line in questions:
            answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")
            answers.flush()


if __name__ == "__main__":
    # Libraries print to standard output: only the answers may go there.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as own, contextlib.redirect_stdout(sys.stderr):
        os.dup2(2, 1)
        main(json.loads(sys.argv[1]), sys.stdin, own)
