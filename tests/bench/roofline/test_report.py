"""A run's roofline: shares of the ceilings beside them, and what one above the ceiling may mean."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from bench.case import Case, parse_case
from bench.roofline import report
from bench.roofline.counts import Layer, Work
from bench.roofline.share import ABOVE, least_s
from tests.bench.fake_engines import FakeEngine

if TYPE_CHECKING:
    from bench.engines import OpenEngine

WORK = Work((Layer("wide", flops=1e9, activations=1000, weights=500),))


@pytest.mark.parametrize(("inference_s", "caption"), [(0.0009, ABOVE), (0.0011, None)])
def test_share_above_the_ceiling_is_explained(
    monkeypatch: pytest.MonkeyPatch, inference_s: float, caption: str | None
) -> None:
    monkeypatch.setattr(report, "ceilings", lambda *_: {"fp32": 1e12, "copy_bytes_per_s": 1e12})
    roofline = report.Roofline("cpu", 1, WORK)
    opened: Any = SimpleNamespace(case=Case("any", "fp32", 1), engine=FakeEngine())
    roofline.add_case(cast("OpenEngine", opened), inference_s)
    assert roofline.table().caption == caption


def test_every_share_is_of_the_ceilings_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = iter((4e9, 1e9))
    monkeypatch.setattr(report, "ceilings", lambda *given: {given[2][0]: 1e12, "copy_bytes_per_s": next(copies)})
    work = Work((*WORK.layers, Layer("copied", flops=0.0, activations=10**6, weights=0)))
    roofline = report.Roofline("cpu", 1, work)
    for case in (Case("any", "fp32", 1), Case("any", "int8", 1), Case("any", "fp32", 4)):
        roofline.add_case(cast("OpenEngine", SimpleNamespace(case=case, engine=FakeEngine())), 0.01)
    found = roofline.as_dict()
    assert set(found["cases"]) == {"any-fp32-b1", "any-int8-b1", "any-fp32-b4"}
    for name, part in found["cases"].items():
        least = least_s(work, parse_case(name), found["ceilings"])
        assert least is not None
        assert part["share_of_ceiling"] == pytest.approx(sum(least) / part["inference_s"])
