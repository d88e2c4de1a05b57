"""The table of a run says what a share above the ceiling may mean, where there is one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from bench.case import Case
from bench.roofline import report
from bench.roofline.counts import Layer, Work
from bench.roofline.share import ABOVE
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
