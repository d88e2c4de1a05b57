"""Two ways to find INT8 ranges, tensor by tensor, for a person."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.ranges import Compared
    from bench.resizes import Resized


def table(base: str, other: str, tensors: Sequence[Compared], images: int) -> Table:
    """Return a line per tensor: its range by either way, what that clips, and the signal over the noise it leaves."""
    title = f"{other} against {base}, {images} images; the tensors that lose most"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    columns = ("tensor", "range", f"by {base}", "ratio", "clipped", f"by {base}", "S/N dB", f"by {base}", "lost dB")
    for column in columns:
        table.add_column(column, justify="left" if column == "tensor" else "right", no_wrap=True)
    for each in tensors:
        mine, theirs = each.other, each.base
        table.add_row(
            each.tensor,
            f"{mine.limit:.3f}",
            f"{theirs.limit:.3f}",
            f"{each.ratio:.3f}",
            f"{mine.clipped:.3%}",
            f"{theirs.clipped:.3%}",
            f"{mine.signal_to_noise_db:.1f}",
            f"{theirs.signal_to_noise_db:.1f}",
            f"{each.lost_db:+.1f}",
        )
    return table


def summary(base: str, other: str, tensors: Sequence[Compared]) -> str:
    """Return in a sentence how one way to find ranges compares with another over all tensors."""
    ratio = statistics.median(each.ratio for each in tensors)
    lost = [each for each in tensors if each.lost_db > 1]
    gained = [each for each in tensors if each.lost_db < -1]
    most = max(tensors, key=lambda each: each.other.clipped)
    return (
        f"{other}: of {len(tensors)} tensors {len(lost)} lose more than 1 dB to {base}, {len(gained)} gain; "
        f"its ranges are {ratio:.2f} of {base}'s in the median, and most is clipped of {most.tensor}, "
        f"{most.other.clipped:.2%}"
    )


def resizes_told(name: str, found: Sequence[Resized], dice: float, case: str) -> list[str]:
    """Return in lines what the ranges at both ends of each resize make of its values, and what that costs in Dice."""
    lines = [f"{name}: a resize that hands its integers on multiplies its values by (range made / range read)"]
    lines += [f"  {each.tensor:40} {each.factor:.3f} ({each.made:.3f} / {each.read:.3f})" for each in found]
    return [*lines, f"  {case} with its resized maps so multiplied: mean Dice against FP32 {dice:.5f}"]
