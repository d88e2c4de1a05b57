"""Facts on accuracy: how Dice spreads over the images, and the worst images as pictures."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from bench.case import PRECISIONS, parse_case
from bench.page.parts import Picture, Spread
from bench.pictures import densest
from bench.results import RunFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from bench.results import Row, Run

_COLOURS = (255, 255, 255, 86, 180, 233, 230, 159, 0, 0, 158, 115, 204, 121, 167, 213, 94, 0, 240, 228, 66)
_PALETTE = (0, 0, 0, *_COLOURS * 36)
"""Black for the background, white for the first target, and colours for further ones."""
_BOTH, _NEITHER, _MISSED, _ADDED = (85, 85, 85), (20, 20, 20), (255, 120, 30), (60, 170, 255)
"""Colours of the picture of differences: targets of both masks, of none, of the FP32 mask alone, of the engine's."""


def spreads(run: Run) -> tuple[Spread, ...]:
    """Return the spread of Dice over the images, of each backend and precision at its smallest batch size."""
    return tuple(_spread(row) for row in _smallest(run.rows.values()))


def pictures(run: Run, origin: str) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """Return the worst images as the run keeps them, the worst first, and what is worth knowing of the others.

    `RunFileError` names `origin` where a picture cannot be decoded.
    """
    stored = run.suite.get("pictures")
    if stored is None:
        return (), ("This run holds no pictures of its masks.",) if run.rows else ()
    found = []
    for case, mask in stored["masks"].items():
        if case not in run.rows or mask["image"] not in stored["images"]:
            continue
        try:
            found.append(_picture(run.rows[case], mask, stored, run.suite["images"]["size"]))
        except (OSError, ValueError) as error:
            msg = f"{origin}: the picture of {case} cannot be decoded ({error})"
            raise RunFileError(msg) from error
    same = [row.case for row in _smallest(run.rows.values()) if row.case not in {*stored["masks"], *stored["left_out"]}]
    notes = [f"Every mask equals its FP32 mask: {', '.join(same)}."] if same else []
    if stored["left_out"]:
        notes.append(f"Left out, to keep the run's file small: {', '.join(stored['left_out'])}.")
    return tuple(found), tuple(notes)


def _smallest(rows: Iterable[Row]) -> list[Row]:
    """Return one row of each backend and precision, by precision."""
    found: dict[tuple[int, str], Row] = {}
    for row in sorted(rows, key=lambda row: -row.batch_size):
        case = parse_case(row.case)
        found[PRECISIONS.index(case.precision), case.backend] = row
    return [found[key] for key in sorted(found)]


def _spread(row: Row) -> Spread:
    case = parse_case(row.case)
    target = np.asarray(row.info["dice_fp32"]["per_image"])[:, 1:].mean(axis=1)
    worst, tenth, median, best = (float(value) for value in np.quantile(target, (0, 0.1, 0.5, 1)))
    names = tuple(row.info["images"])
    return Spread(
        row.case, case.backend, case.precision, tuple(map(float, target)), names, worst, tenth, median, best
    )  # fmt: skip


def _picture(row: Row, mask: Mapping[str, Any], stored: Mapping[str, Any], whole: list[int]) -> Picture:
    shared = stored["images"][mask["image"]]
    fp32, differs = _labels(shared["fp32"]), _labels(mask["differs"])
    low = ((fp32.astype(np.int16) + differs) % stored["classes"]).astype(np.uint8)
    top, left, height, width = shared["window"]
    where = f"rows {top} to {top + height - 1}, columns {left} to {left + width - 1} of {whole[0]}x{whole[1]} pixels"
    names = row.info["images"]
    scores = row.info["dice_fp32"]["per_image"][names.index(mask["image"])]
    return Picture(
        case=row.case,
        image=mask["image"],
        dice=sum(scores[1:]) / len(scores[1:]),
        missed=int(((fp32 != low) & (fp32 > 0)).sum()),
        added=int(((fp32 == 0) & (low > 0)).sum()),
        size=(fp32.shape[0], fp32.shape[1]),
        window="" if [height, width] == list(whole) else where,
        focus=_focus(fp32 != low),
        input=f"data:image/jpeg;base64,{shared['input']}",
        truth=None if shared["truth"] is None else f"data:image/png;base64,{shared['truth']}",
        fp32=_png(fp32, _PALETTE),
        low=_png(low, _PALETTE),
        differ=_differ(fp32, low),
    )


def _labels(text: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as picture:
        return np.asarray(picture).astype(np.uint8)


def _focus(differs: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the middle of the eighth of a picture that holds most of what differs, in per cent."""
    height, width = differs.shape
    size = max(1, height // 8), max(1, width // 8)
    top, left = densest(differs.astype(np.int64), size)
    return 100 * (left + size[1] / 2) / width, 100 * (top + size[0] / 2) / height


def _differ(fp32: NDArray[np.uint8], low: NDArray[np.uint8]) -> str:
    """Return a picture of where two masks differ, as a data URI."""
    kinds = np.where(fp32 == low, (fp32 > 0).astype(np.uint8), np.where(fp32 > 0, 2, 3).astype(np.uint8))
    return _png(kinds, [part for colour in (_NEITHER, _BOTH, _MISSED, _ADDED) for part in colour])


def _png(labels: NDArray[np.uint8], palette: Sequence[int]) -> str:
    """Return labels in the colours of a palette, three numbers each, as a data URI."""
    picture = Image.fromarray(labels)
    picture.putpalette(palette)
    packed = io.BytesIO()
    picture.save(
        packed, format="PNG", optimize=True, bits=next(bits for bits in (1, 2, 4, 8) if labels.max() < 2**bits)
    )
    return f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}"
