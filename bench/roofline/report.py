"""The roofline of a run: ceilings measured on first need, each case's share of them, for the JSON and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.roofline.ceilings import ceilings
from bench.roofline.share import ABOVE, TimesLayers, case_share, passes
from bench.stream.show import plain_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from bench.case import Case
    from bench.engines import OpenEngine
    from bench.roofline.counts import Work


class Roofline:
    """Collects the cases of one run."""

    def __init__(self, device: str, threads: int, work: Work) -> None:
        self._device, self._threads, self._work = device, threads, work
        self._ceilings: dict[str, float] = {}
        self._cases: dict[str, dict[str, Any]] = {}
        self._batch_sizes: set[int] = set()

    def add(self, opened: OpenEngine, row: Mapping[str, Any]) -> None:
        """Work out the share of an open engine whose stream has just been measured."""
        case = opened.case
        self.add_case(opened, case.batch_size / row["engine_fps"], row["stages_s"])

    def add_case(
        self, opened: OpenEngine, inference_s: float, stages_s: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        """Return, and keep, the share of an open engine that takes `inference_s` an inference."""
        case, engine = opened.case, opened.engine
        layers_s = engine.layer_times() if isinstance(engine, TimesLayers) else None
        found = case_share(case, self._work, self._measured(case), inference_s, layers_s, stages_s)
        self._cases[case.id] = found
        self._batch_sizes.add(case.batch_size)
        return found

    def _measured(self, case: Case) -> dict[str, float]:
        """Return the ceilings, after measuring those that this case is the first to need."""
        if case.arithmetic not in self._ceilings:
            for name, value in ceilings(self._device, self._threads, [case.arithmetic]).items():
                # The first copying of memory stays: the shares that are there already are of it.
                self._ceilings.setdefault(name, value)
        return self._ceilings

    def as_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON; `least_bytes` are at four bytes a value."""
        return {
            "ceilings": dict(self._ceilings),
            "network": {
                "flops_per_image": self._work.flops_per_image,
                "least_bytes": {str(size): self._work.least_bytes(size) for size in sorted(self._batch_sizes)},
                "layers": [
                    {"name": layer.name, "flops": layer.flops, "bytes": layer.least_bytes(1, 4.0)}
                    for layer in self._work.layers
                ],
            },
            "cases": dict(self._cases),
        }

    def table(self) -> Table:
        """Return one line per case: share of the ceiling, what binds, the most expensive layer."""
        speeds = [f"{name} {value / 1e9:.4g} GFLOP/s" for name, value in self._ceilings.items() if "copy" not in name]
        copies = f"copy {self._ceilings.get('copy_bytes_per_s', 0.0) / 1e9:.3g} GB/s"
        table = plain_table(f"roofline: {', '.join([*speeds, copies])}")
        for name in ("case", "of ceiling", "bound by", "outside layers", "most expensive layer"):
            table.add_column(name)
        for case, found in self._cases.items():
            share, gap = found["share_of_ceiling"], found["outside_layers"]
            top = found["layers"][0] if found["layers"] else None
            table.add_row(
                case,
                "-" if share is None else f"{share:.1%}",
                found["bound_by"],
                "-" if gap is None else f"{gap:.1%}",
                "-" if top is None else f"{top['name']}: {top['ms']:.2f} ms, {top['share']:.0%}",
            )
        if passes(found["share_of_ceiling"] for found in self._cases.values()):
            table.caption, table.caption_justify = ABOVE, "left"
        return table
