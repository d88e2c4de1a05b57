"""Whether a case's masks are as good as they were: paired per image and class, against the stored runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from bench.entries import mean_scores
from bench.limits import ANCHOR_MARGINS, DICE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bench.entries import BaselineEntry, Record, Scores
    from bench.limits import DiceLimits
    from bench.results import Row

_RESAMPLES = 2000
_TAIL = 0.005


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What the masks say: faults, doubts and gains in words, and the change in the target's mean Dice."""

    change: float
    """Mean Dice of the target against the FP32 masks, new less stored."""
    summary: str
    faults: tuple[str, ...]
    doubts: tuple[str, ...]
    gains: tuple[str, ...]


def judge_floor(row: Row, fp32_truth: float | None) -> list[str]:
    """Return how a row falls short of what its precision must reach, whatever was stored.

    `fp32_truth` is the FP32 model's own mean Dice against the truth, where there is one.
    """
    limits = DICE[row.precision]
    faults = []
    mean = row.info["dice_fp32"]["mean"]
    if mean < limits.floor:
        faults.append(f"Dice against FP32 {mean:.4f}, floor {limits.floor:.4f}")
    truth = row.info["dice_truth"]
    if truth and fp32_truth and truth["mean"] < limits.kept * fp32_truth:
        share = truth["mean"] / fp32_truth
        faults.append(f"keeps {share:.2%} of FP32's Dice against the truth, at least {limits.kept:.1%} wanted")
    return faults


def judge_accuracy(row: Row, entry: BaselineEntry) -> Accuracy:
    """Return how a row's Dice, against FP32 masks and truth, compares with its entry's, paired per image and class."""
    limits = DICE[row.precision]
    pairs = [("", row.info["dice_fp32"]["per_image"], [run.dice_fp32 for run in entry.current.runs])]
    truth = [run.dice_truth for run in entry.current.runs if run.dice_truth]
    if row.info["dice_truth"] and truth:
        pairs.append(("truth ", row.info["dice_truth"]["per_image"], truth))
    found = [_paired(what, new, old, limits, row.info["images"]) for what, new, old in pairs]
    faults = [fault for each in found for fault in each["faults"]]
    if entry.anchor:
        faults += _since(row, entry.anchor, limits)
    stored, mean = target_mean(entry.dice_fp32), row.info["dice_fp32"]["mean"]
    return Accuracy(
        change=mean - stored,
        summary=f"Dice {stored:.4f} -> {mean:.4f}",
        faults=tuple(faults),
        doubts=tuple(doubt for each in found for doubt in each["doubts"]),
        gains=tuple(gain for each in found for gain in each["gains"]),
    )


def dice_drift(new: Scores, old: Scores) -> tuple[float, int]:
    """Return the largest loss of Dice of any image and class, and the image's index; both are [N][classes]."""
    losses = (np.asarray(old) - np.asarray(new)).max(axis=1)
    worst = int(losses.argmax())
    return float(losses[worst]), worst


def target_mean(scores: Scores) -> float:
    """Return the mean over images of the target's Dice: every class but the background."""
    return float(np.asarray(scores)[:, 1:].mean())


def _paired(
    what: str, new: Scores, old: Sequence[Scores], limits: DiceLimits, names: Sequence[str]
) -> Mapping[str, list[str]]:
    """Judge one kind of Dice: worst image, then the mean of each class with its bootstrap interval."""
    of_image, of_mean = between_builds(np.asarray(old))
    mean = mean_scores(list(old))
    found: dict[str, list[str]] = {"faults": [], "doubts": [], "gains": []}
    drift, image = dice_drift(new, mean)
    if drift > limits.drift + of_image:
        found["faults"].append(f"{what}Dice of {names[image]} -{drift:.4f}, limit -{limits.drift + of_image:.4f}")
    losses = np.asarray(mean) - np.asarray(new)
    for label in range(losses.shape[1]):
        margin = limits.margin + float(of_mean[label])
        low, high = bootstrap_interval(losses[:, label])
        loss = float(losses[:, label].mean())
        text = f"{what}Dice of class {label} {-loss:+.4f} on average (99 % interval {-high:+.4f} to {-low:+.4f})"
        if loss > margin and low > 0:
            found["faults"].append(f"{text}, limit -{margin:.4f}")
        elif high > margin and not found["faults"]:
            found["doubts"].append(f"{text}, limit -{margin:.4f}")
        elif -loss > margin and high < 0:
            found["gains"].append(f"{text}, more than rebuilding explains")
    return found


def between_builds(stored: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return how far one more honest build may lie from the mean of the stored ones, by chance alone.

    `stored` is Dice [runs, N, classes]; the first value is for the worst of all images and classes, the second, one
    per class, for the mean over the images. Both are 0 where the stored runs do not differ: one build, or builders
    that are deterministic. They are 99.5 % prediction limits of Student's t. The spread of an image is pooled over
    images and classes, as three runs of one say little; a mean cannot spread further than its images do, which bounds
    the limit that so few runs give for it.
    """
    runs, images, labels = stored.shape
    if runs < 2:  # noqa: PLR2004 - nothing to differ from
        return 0.0, np.zeros(labels)
    wider = np.sqrt(1 + 1 / runs)
    pooled = float(np.sqrt(stored.var(axis=0, ddof=1).mean())) * wider
    freedom = (runs - 1) * images
    of_image = float(stdtrit(freedom, 1 - _TAIL / (images * labels))) * pooled
    of_mean = float(stdtrit(runs - 1, 1 - _TAIL)) * wider * stored.mean(axis=1).std(axis=0, ddof=1)
    return of_image, np.minimum(of_mean, float(stdtrit(freedom, 1 - _TAIL)) * pooled)


def bootstrap_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 99 % percentile interval of the mean over images, by resampling the images with a fixed seed."""
    means = values[_draws(len(values))].mean(axis=1)
    low, high = np.quantile(means, (_TAIL, 1 - _TAIL))
    return float(low), float(high)


@cache
def _draws(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))


def _since(row: Row, anchor: Record, limits: DiceLimits) -> list[str]:
    """Return what the masks lost since the first accepted runs, where it is more than its own limit."""
    first = target_mean(mean_scores([run.dice_fp32 for run in anchor.runs]))
    loss, limit = first - row.info["dice_fp32"]["mean"], ANCHOR_MARGINS * limits.margin
    if loss <= limit:
        return []
    return [f"Dice {-loss:+.4f} since the anchor of {anchor.accepted.when[:10]}, limit -{limit:.4f}"]
