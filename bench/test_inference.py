"""Times inference of every case, and says how faithful its masks are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.again import first_batch
from bench.engines import check_label
from bench.fidelity import judge
from bench.rows import row_info
from bench.timing import device_clock

if TYPE_CHECKING:
    from bench.canary import Canary
    from bench.engines import OpenEngine
    from bench.fidelity import Reference
    from bench.pictures import Pictures
    from bench.source import NetworkSource
    from models.images import ImageSet


def test_inference(
    benchmark: Any,  # noqa: ANN401 - the library is untyped
    opened: OpenEngine,
    source: NetworkSource,
    images: ImageSet,
    reference: Reference,
    canary: Canary,
    record_row: Any,  # noqa: ANN401 - a callable of the session
    pictures: Pictures,
) -> None:
    """Time rounds of inferences on real images, inputs ready on the device, one synchronize a round.

    Judging the masks first is the warm-up: it runs the engine over the whole image set.
    """
    case, engine = opened.case, opened.engine
    check_label(case, engine)
    fidelity = judge(engine, images, case.batch_size, reference)
    opened.memory.sample()
    engine.copy_in(first_batch(images, case.batch_size))
    benchmark.group = f"batch size {case.batch_size}"
    before_s = canary.measure()
    with device_clock.bound(engine):
        benchmark(engine.enqueue)
    canary_s = [before_s, canary.measure()]
    if benchmark.stats is not None:
        samples_s = [float(value) for value in benchmark.stats.stats.data]
        benchmark.extra_info.update(row_info(opened, source, images, fidelity, samples_s, canary_s))
        record_row(benchmark.extra_info)
        pictures.keep(case, fidelity)
