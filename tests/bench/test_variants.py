"""Variants are real engines, timed in turn with the plain one and judged like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.__main__ import main
from bench.case import Case
from bench.reference import reference_masks
from bench.variants import try_variants, variant_source
from tests.bench.networks import quick, sections, tiny_source

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

CASE = Case("openvino", "int8", 2)


def test_each_variant_is_built_from_its_own_graph_and_judged(tmp_path: Path) -> None:
    source = tiny_source(tmp_path)
    images = sections("held-out", 3)
    with quick():
        found = try_variants(source, CASE, ["float-ends"], images, reference_masks(source, images), turns=7)
    assert [each.name for each in found] == ["plain", "float-ends"]
    plain, ends = found
    assert (plain.ratio, plain.low, plain.high) == (1, 1, 1)
    assert ends.low <= ends.ratio <= ends.high
    assert ends.fps > 0
    assert 0.97 < ends.worst <= ends.dice_fp32 <= 1
    assert ends.dice_fp32 != plain.dice_fp32
    assert sum(name == f"engine/{CASE}" for name in source.cache.builds) == 2


def test_other_precisions_have_no_variants(tmp_path: Path) -> None:
    source = tiny_source(tmp_path)
    variant = variant_source(source, "float-ends")
    assert variant.graph("fp32") == source.graph("fp32")
    assert variant.graph("int8") != source.graph("int8")
    assert variant_source(source, "plain") is source


def test_backend_that_cannot_run_the_case_ends_the_command_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["variants", "--backend", "torch"]) == 2
    assert capsys.readouterr().err.startswith("torch-int8-b1: ")
