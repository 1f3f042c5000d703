"""Find out how many processors this process may use."""

from __future__ import annotations

import math
import os
import pathlib

_V1 = ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct")


def usable_cpus(root: pathlib.Path = pathlib.Path("/")) -> int:
    """The processors of the affinity mask, or fewer if the control group has a quota; at least 1.

    Args:
        root: The root of the file system.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for quota in (_quota_v2(root), _quota_v1(root)) if quota is not None]
    # round up: a fraction of a processor is worth a worker
    return max(1, min([allowed, *map(math.ceil, quotas)]))


def _quota_v2(root: pathlib.Path) -> float | None:
    """The smallest quota of the control group of this process and its ancestors."""
    groups = [line.removeprefix("0::") for line in _read(root / "proc/self/cgroup").splitlines() if line[:3] == "0::"]
    group = pathlib.PurePosixPath(groups[0] if groups else "/")
    quotas = []
    for place in (group, *group.parents):
        words = _read(root / "sys/fs/cgroup" / str(place).lstrip("/") / "cpu.max").split()
        if len(words) == 2 and words[0] != "max":
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _quota_v1(root: pathlib.Path) -> float | None:
    for place in _V1:
        quota, period = (_read(root / place / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
        if quota and period and int(quota) > 0:
            return int(quota) / int(period)
    return None


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
