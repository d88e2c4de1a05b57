"""Measures the cases of a sweep, a backend and precision at a time, up to the batch that does not fit."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from bench import sweep_file
from bench.backend import BuildError, OutOfMemoryError, UnavailableError, load_backend, why_not
from bench.engines import LabelError, check_label, open_settled
from bench.machine import this_machine
from bench.timing import inferences_per_round, rounds_s, warm_up
from models.graphs import GraphError
from models.images import normalise
from models.weights import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.case import Case
    from bench.roofline.report import Roofline
    from bench.source import NetworkSource

_ROUND_S = 0.05


def subject(source: NetworkSource) -> dict[str, Any]:
    """Return how a sweep's file names what it is of."""
    network, images = source.network, source.calibration_set
    machine = this_machine(source.device).as_dict()
    del machine["runtimes"]  # Sessions may have other versions; each holds its own.
    return {
        "machine": machine,
        "threads": source.threads,
        "model": {
            "name": network.name,
            "digest": network.digest,
            "weights": network.weights_origin,
            "weights_digest": None if network.onnx_path else digest(network.module()),
            "parameters": network.parameters,
        },
        "image_size": list(source.image_size),
        "calibration": {"origin": images.origin, "digest": images.digest, "count": len(images.names)},
    }


def sweep_line(
    source: NetworkSource,
    cases: Sequence[Case],
    roofline: Roofline,
    data: dict[str, Any],
    save: Callable[[], None],
    seconds: float,
) -> None:
    """Add the points of one backend and precision that a sweep lacks, saving after each, `seconds` of timing a case.

    The line ends at the batch that does not fit, builds not or is not what its label says; the sweep says why.
    """
    line = f"{cases[0].backend}-{cases[0].precision}"
    held = sweep_file.measured(data, line)
    for case in cases:
        if case.batch_size in held:
            continue
        try:
            backend = load_backend(case.backend)
            if case.precision not in backend.PRECISIONS:
                return
            reason = why_not(backend, case, source.device, source.network)
            if reason:
                raise UnavailableError(reason)
            point = _point(source, case, seconds, roofline)
        except (UnavailableError, OutOfMemoryError, BuildError, GraphError, LabelError) as error:
            told = "; ".join(str(error).splitlines()[:2])  # A runtime's own first message follows ours.
            data["ended"][line] = f"from batch {case.batch_size} on: {told}"
            source.say(f"{case}: the line ends here: {error}")
            return
        data["ended"].pop(line, None)
        data["sessions"][-1]["versions"][case.backend] = backend.versions()
        sweep_file.add(data, line, point, roofline.as_dict())
        save()
        source.say(f"{case}: {point['fps']:.1f} FPS")


def _point(source: NetworkSource, case: Case, seconds: float, roofline: Roofline) -> dict[str, Any]:
    images = source.calibration_set.images
    with open_settled(source, case) as opened:
        check_label(case, opened.engine)
        opened.engine.copy_in(normalise(images[[index % len(images) for index in range(case.batch_size)]]))
        warm_up(opened.engine)
        inferences = inferences_per_round(opened.engine, _ROUND_S)
        inference_s = statistics.median(rounds_s(opened.engine, inferences, seconds))
        peak_bytes = opened.memory.peak_bytes
        found = roofline.add_case(opened, inference_s)
    return {
        "batch_size": case.batch_size,
        "fps": case.batch_size / inference_s,
        "share_of_ceiling": found["share_of_ceiling"],
        "bound_by": found["bound_by"],
        "outside_layers": found["outside_layers"],
        "peak_memory_bytes": peak_bytes,
    }
