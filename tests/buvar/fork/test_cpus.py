"""How many processors may be used, with what the system says planted in a folder."""

import os
import sys

import pytest

from buvar import fork

linux = pytest.mark.skipif(sys.platform != "linux", reason="affinity masks are asked for on Linux")


@pytest.fixture(autouse=True)
def sixteen(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


def test_without_a_quota(plant):
    """FRK-01: without a quota the affinity mask counts."""
    assert fork.usable_cpus(plant({})) == 16


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("200000 100000", 2), ("150000 100000", 2), ("20000 100000", 1), ("9900000 100000", 16), ("max 100000", 16)],
)
def test_a_quota_caps(plant, quota, cpus):
    """Decision 10: the quota of the control group caps it; a part of a processor counts as one."""
    root = plant({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": f"{quota}\n"})
    assert fork.usable_cpus(root) == cpus


def test_the_quota_of_an_outer_group_counts(plant):
    """The smallest quota on the way up is the one that counts; the root of a container has its own."""
    files = {"proc/self/cgroup": "12:cpu:/x\n0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "800000 100000"}
    assert fork.usable_cpus(plant({**files, "sys/fs/cgroup/a/cpu.max": "300000 100000"})) == 3
    assert fork.usable_cpus(plant({"sys/fs/cgroup/cpu.max": "100000 100000"})) == 1


@pytest.mark.parametrize("place", ["cpu", "cpu,cpuacct"])
def test_the_first_version_of_control_groups(plant, place):
    """Older systems tell quota and period apart."""
    folder = f"sys/fs/cgroup/{place}"
    assert (
        fork.usable_cpus(plant({f"{folder}/cpu.cfs_quota_us": "400000", f"{folder}/cpu.cfs_period_us": "100000"})) == 4
    )
    assert fork.usable_cpus(plant({f"{folder}/cpu.cfs_quota_us": "-1", f"{folder}/cpu.cfs_period_us": "100000"})) == 16


def test_where_there_are_no_masks(plant, monkeypatch):
    """Other systems only know their processors."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert fork.usable_cpus(plant({})) == 4
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert fork.usable_cpus(plant({})) == 1


@linux
def test_here():
    """On this machine there is at least one, and not more than the machine has."""
    assert 1 <= fork.usable_cpus() <= 16
