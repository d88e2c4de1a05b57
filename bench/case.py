"""A case is one cell of the matrix backend x precision x batch size, and the key of everything stored."""

from __future__ import annotations

import re
from dataclasses import dataclass

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8", "int8-entropy", "int8-percentile", "int8-uncalibrated")
"""Valid precisions; `int8` is calibrated by MinMax."""

_PRECISION = "|".join(sorted(PRECISIONS, key=len, reverse=True))
_ID = re.compile(rf"(?P<backend>[a-z0-9_]+)-(?P<precision>{_PRECISION})-b(?P<batch_size>[1-9]\d*)")
ID_SCHEMA = {"type": "string", "pattern": f"^{_ID.pattern}$"}
"""JSON schema of a case as people write it."""


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One backend at one precision and one batch size."""

    backend: str
    precision: str
    batch_size: int

    @property
    def id(self) -> str:
        """The case as people write it: `openvino-int8-b4`."""
        return f"{self.backend}-{self.precision}-b{self.batch_size}"

    @property
    def arithmetic(self) -> str:
        """The number format of the convolutions, `int8` whatever the calibration."""
        return self.precision.partition("-")[0]

    def __str__(self) -> str:
        return self.id


def parse_case(text: str) -> Case:
    """Return the case that an id names; `ValueError` when it names none."""
    match = _ID.fullmatch(text)
    if match is None:
        msg = f"not a case id: {text!r} (expected backend-precision-bN, such as openvino-int8-b4)"
        raise ValueError(msg)
    return Case(match["backend"], match["precision"], int(match["batch_size"]))
