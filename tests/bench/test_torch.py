"""What PyTorch's engines say they ran in, where PyTorch's own types do not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench.backends import _torch_formats

if TYPE_CHECKING:
    from collections.abc import Mapping


class Ran:
    """An engine that says what PyTorch's types say."""

    def __init__(self, achieved: Mapping[str, float]) -> None:
        self.achieved = achieved

    def enqueue(self) -> None:
        """Run nothing."""


@pytest.mark.parametrize(
    ("device", "before", "share", "after"),
    [
        ("cuda", {"fp32": 1.0}, 0.0, {"fp32": 1.0}),
        ("cuda", {"fp32": 1.0}, 0.75, {"fp32": 0.25, "tf32": 0.75}),
        ("cuda", {"fp32": 1.0}, 1.0, {"tf32": 1.0}),
        ("cuda", {"fp16": 1.0}, 0.75, {"fp16": 1.0}),
        ("cpu", {"fp32": 1.0}, 0.75, {"fp32": 1.0}),
    ],
)
def test_tf32_is_told_from_fp32_by_the_kernels_and_no_format_is_named_that_did_not_run(
    monkeypatch: pytest.MonkeyPatch, device: str, before: dict[str, float], share: float, after: dict[str, float]
) -> None:
    monkeypatch.setattr(_torch_formats, "_tf32_share", lambda _: share)
    engine: Any = Ran(before)
    _torch_formats.prove_tf32(engine, device)
    assert engine.achieved == after
