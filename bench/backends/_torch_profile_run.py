"""How long each operator of a PyTorch engine takes, from PyTorch's own profiler."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# PyTorch 2.13's profiler writes "USDT: ... profiler_start" among a command's lines at its own level.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
_HOST = "CPU"
_WHOLE = 0.99
"""Share of the kernels' time from which the operators account for all of it."""


def operator_seconds(run: Callable[[], object], *, on_gpu: bool) -> dict[str, float]:
    """Return the seconds of each operator and input shape in one call of `run`, which waits until it has ended.

    On a GPU those of the kernels that each launched; of the kernels themselves where no operator launched them, as
    in a CUDA graph.
    """
    activity = torch.profiler.ProfilerActivity
    activities = [activity.CPU, *([activity.CUDA] if on_gpu else [])]
    with torch.profiler.profile(activities=activities, record_shapes=True, acc_events=True) as profile:
        run()
    host: list[Any] = []
    device: list[Any] = []
    for event in profile.key_averages(group_by_input_shape=True):
        (host if event.device_type.name == _HOST else device).append(event)
    operators = _seconds(host, on_gpu=on_gpu)
    # On a GPU every kernel is an event beside the operator that launched it: both together would count it twice, and
    # a named stretch of the program, which is an event there, too, once more.
    kernels = _seconds((event for event in device if not event.is_user_annotation), on_gpu=on_gpu)
    return operators if sum(operators.values()) >= _WHOLE * sum(kernels.values()) else kernels


def _seconds(events: Iterable[Any], *, on_gpu: bool) -> dict[str, float]:
    times: dict[str, float] = {}
    for event in events:
        micros = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if micros:
            name = f"{event.key} {event.input_shapes[:2]}"
            times[name] = times.get(name, 0.0) + micros / 1e6
    return times
