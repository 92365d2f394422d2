"""The host: memory, processor and disk, read through psutil and /proc."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

FAST_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
"""/proc/cpuinfo's names for instructions that multiply bf16 pairs; without them it is emulated, 30 times slower."""


def cores() -> int:
    """Cores that this process may use: fewer than the machine's under taskset, Slurm or a container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota()
    return max(1, min(allowed, quota)) if quota else allowed


def _cpu_quota() -> int | None:
    """Of the control group (version 2), rounded up."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if limit == "max" else -(-int(limit) // int(period))
    except (OSError, ValueError):
        return None


def memory() -> tuple[int, int]:
    """RAM in bytes, total and available; a container's limit counts where it is lower."""
    try:
        found = psutil.virtual_memory()
        total, available = int(found.total), int(found.available)
    except (OSError, RuntimeError):
        return 0, 0
    limit, used = _group_number("memory.max"), _group_number("memory.current")
    if limit is not None and limit < total:
        cached = _group_statistic("inactive_file")
        available = min(available, max(0, limit - (used or 0) + cached))
        total = limit
    return total, available


def _group_number(name: str) -> int | None:
    try:
        text = Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
        return int(text) if text.isdigit() else None
    except OSError:
        return None


def _group_statistic(name: str) -> int:
    try:
        lines = Path("/sys/fs/cgroup/memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


def disk_free(folder: Path | None) -> int:
    """Bytes free where `folder` is, or will be."""
    place = (folder or Path.home()).absolute()
    for existing in (place, *place.parents):
        try:
            return shutil.disk_usage(existing).free
        except OSError:
            continue
    return 0


@dataclass(frozen=True)
class HostReading:
    """`busy` is the share of the processors' time since the last look, 0 to 1; None at the first. Memory in bytes."""

    busy: float | None
    free: int
    total: int


class HostWatch:
    """Looks at the machine again and again."""

    def __init__(self) -> None:
        self._times: tuple[float, float] | None = None

    def look(self) -> HostReading:
        before, self._times = self._times, _processor_times()
        total, free = memory()
        return HostReading(_share(before, self._times), free, total)


def _processor_times() -> tuple[float, float] | None:
    """Seconds that all processors idled, and all of their seconds, since the machine began; None where unknown."""
    try:
        times = psutil.cpu_times()
    except (OSError, RuntimeError):
        return None
    idle = times.idle + getattr(times, "iowait", 0.0)
    # A guest's time is counted among its host's already.
    return idle, sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)


def _share(before: tuple[float, float] | None, now: tuple[float, float] | None) -> float | None:
    if before is None or now is None or now[1] <= before[1]:
        return None
    return min(1.0, max(0.0, 1 - (now[0] - before[0]) / (now[1] - before[1])))


def hostname() -> str:
    return socket.gethostname()


@cache
def cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


@cache
def has_fast_bf16() -> bool:
    return bool(FAST_BF16_FLAGS & set(_cpuinfo("flags").split()))


def _cpuinfo(key: str) -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
    except OSError:
        return ""


def processes_of_run() -> int:
    """How many processes torchrun started together with this one; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))
