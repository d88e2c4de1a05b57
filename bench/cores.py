"""The processor that this process may use: its cores by the kernel's own account, and its share of their time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CPUS = Path("/sys/devices/system/cpu")
_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_NO_QUOTA = ("max", "-1")


def distinct_cores(cpus: Iterable[int]) -> int:
    """Return how many cores these logical CPUs belong to; where the kernel does not tell, each has its own."""
    places = {cpu: _CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list" for cpu in cpus}
    return len({path.read_text(encoding="ascii") if path.exists() else str(cpu) for cpu, path in places.items()})


def quota() -> float:
    """Return how many CPUs' time the kernel lets this process have, infinity without a limit (control groups 1, 2)."""
    found = [math.inf]
    for line in _OWN_GROUPS.read_text(encoding="utf-8").splitlines() if _OWN_GROUPS.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _GROUPS / "cpu" if controllers else _GROUPS
        own = root / path.lstrip("/")
        # A group has no more than those that it is in; in a container its own is the root.
        found += [_quota_of(group) for group in (own, *own.parents) if group.is_relative_to(root)]
    return min(found)


def _quota_of(group: Path) -> float:
    second, first = group / "cpu.max", (group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")
    if second.exists():
        given, period = second.read_text(encoding="ascii").split()
    elif first[0].exists():
        given, period = (path.read_text(encoding="ascii").strip() for path in first)
    else:
        return math.inf
    return math.inf if given in _NO_QUOTA else int(given) / int(period)
