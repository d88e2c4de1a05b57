"""Built-in sections are the same bytes for ever, look like what they stand for, and their splits share nothing."""

from __future__ import annotations

import ast
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from models import fields, synthetic, tissue
from models.images import builtin
from models.synthetic import DIGESTS, SPLITS, section, sections_digest

SECTION_DIGESTS = {
    0: "7b2c0ef067ff5c2d7d3677b13db945e52b110960f23714014570ee51f497c356",
    79: "3ae1f3686696fff63bbfff994938dd51fbc281714a68007bf3427ffc8f320f3f",
    1000: "9ae787d0d717273031a92c078f5ac02bb95a6f18be88b44cfdfc326649cbc32a",
    1015: "578a961a581c21613fe0891835d90d9502994f70730959dfe0d6db6be18a19e2",
    2000: "75d0647395881c8f53e370368676636fa8165ce6018ad754955970efa1ba4774",
    2015: "148248826354e32e866e4cc4086562d86bcaa2c671c10a44c139d5f514f210fa",
}
"""`sections_digest` of single sections, the first and last of each split."""

SMALL_DIGEST = "46377ac6417354907f3d405a7cbc0476bd39b840e9731186c34d4ffb9e1cb6d6"
"""`sections_digest` of section 3 at 160 x 208 pixels."""


@pytest.mark.parametrize("index", SECTION_DIGESTS)
def test_section_is_the_same_bytes_as_ever(index: int) -> None:
    assert sections_digest([section(index)]) == SECTION_DIGESTS[index]


def test_calibration_split_is_the_same_bytes_as_ever() -> None:
    data = builtin("calibration")
    assert data.masks is not None
    assert sections_digest(zip(data.images, data.masks, strict=True)) == DIGESTS["calibration"]


def test_section_of_another_size_is_the_same_bytes_as_ever() -> None:
    assert sections_digest([section(3, (160, 208))]) == SMALL_DIGEST


def test_section_is_grey_with_a_fifth_of_it_membrane() -> None:
    image, mask = section(2003)
    assert image.shape == mask.shape == (512, 512)
    assert image.dtype == np.uint8
    assert mask.dtype == np.bool_
    assert 0.15 < mask.mean() < 0.28


def test_membrane_is_darker_than_its_surroundings_but_no_threshold_finds_it() -> None:
    image, mask = section(2003)
    assert image[mask].mean() < image[~mask].mean() - 15
    best = max(2 * (mask & (image < level)).sum() / (mask.sum() + (image < level).sum()) for level in range(256))
    assert best < 0.65


def test_noise_leaves_no_pixel_row_clipped() -> None:
    image, _ = section(2003)
    assert ((image == 0) | (image == 255)).mean() < 0.01


def test_sections_differ_from_each_other() -> None:
    (first, _), (second, _) = section(0, (64, 64)), section(1, (64, 64))
    assert not np.array_equal(first, second)


def test_splits_are_disjoint() -> None:
    assert set(SPLITS) == {"train", "calibration", "held-out"} == set(DIGESTS)
    for one, other in combinations(SPLITS.values(), 2):
        assert not set(one) & set(other)


def test_generator_calls_no_function_whose_result_may_differ_between_machines() -> None:
    # Correctly rounded or exact everywhere; sums of floats, transcendental functions and distributions are not.
    allowed = {
        *("PCG64", "abs", "arange", "array", "asarray", "ascontiguousarray", "concatenate", "empty_like"),
        *("flatnonzero", "floor", "full", "maximum", "minimum", "moveaxis", "nonzero", "ones", "pad"),
        *("put_along_axis", "sort", "sqrt", "stack", "take", "take_along_axis", "zeros"),
    }
    types = {"bool_", "float64", "int64", "uint8", "uint64", "random", "inf"}
    for module in (fields, tissue, synthetic):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np", "np.random")
        }
        assert used <= allowed | types
        assert not names & {"sum", "mean", "dot", "std", "exp", "log", "sin", "cos", "power", "normal"}
        assert not [
            node for node in ast.walk(tree) if isinstance(node, (ast.Pow, ast.MatMult)) and module is not fields
        ]
