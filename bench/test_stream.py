"""Times the whole path of every case: images in, masks out in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench.engines import check_label
from bench.stream.measure import as_json, measure

if TYPE_CHECKING:
    from bench.engines import OpenEngine
    from bench.stream.plan import StreamPlan


def test_stream(benchmark: Any, opened: OpenEngine, stream_plan: StreamPlan) -> None:  # noqa: ANN401 - the library is untyped
    """Stream images through the engine once, between two timings of the engine alone, then run the plain loop.

    With --roofline, the case's share of the machine's ceilings is worked out from the engine's own time.

    Ctrl-C ends the stream with what is done, marked partial, and then the session.
    """
    case = opened.case
    reason = stream_plan.why_not(case)
    if reason is not None:
        pytest.skip(reason)
    check_label(case, opened.engine)
    images = stream_plan.images()
    benchmark.group = f"stream, batch size {case.batch_size}"
    with stream_plan.way(case, len(images)) as way:
        figures = benchmark.pedantic(measure, (opened, images, way, stream_plan.consume), rounds=1, iterations=1)
    row = as_json(opened, images, figures)
    benchmark.extra_info["stream"] = row
    stream_plan.rows.append(row)
    if stream_plan.roofline is not None:
        stream_plan.roofline.add(opened, row)
    if figures.streamed.partial:
        raise KeyboardInterrupt
