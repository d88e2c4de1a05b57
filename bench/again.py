"""Time a case once more: the rounds that settle a verdict the first ones left open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.case import parse_case
from bench.engines import open_engine
from bench.timing import inferences_per_round, rounds_s, warm_up
from models.images import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.canary import Canary
    from bench.source import NetworkSource
    from models.images import ImageSet

MOST = 4
"""Further visits to one case; more say little that these did not."""
_ROUND_S = 0.05
_VISIT_S = 1.0


def first_batch(images: ImageSet, batch_size: int) -> NDArray[np.float32]:
    """Return the first images, over again where there are too few, normalised float32 [batch_size, 1, H, W]."""
    return normalise(images.images[[index % len(images.names) for index in range(batch_size)]])


def time_again(row: dict[str, Any], source: NetworkSource, images: ImageSet, canary: Canary) -> None:
    """Open the row's engine anew, time it between two readings of the canary, and add the visit to the row."""
    case = parse_case(row["case"])
    with open_engine(source, case) as opened:
        opened.engine.copy_in(first_batch(images, case.batch_size))
        warm_up(opened.engine)
        inferences = inferences_per_round(opened.engine, _ROUND_S)
        before = canary.measure()
        samples_s = rounds_s(opened.engine, inferences, _VISIT_S)
        visit = {"samples_s": samples_s, "canary_s": [before, canary.measure()]}
    row.setdefault("again", []).append(visit)
