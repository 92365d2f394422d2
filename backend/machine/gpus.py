"""The cards, read through NVML. Nothing here raises: a reading that is not to be had is None, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml

from finetty.backend.machine.facts import NO_DRIVER, GpuFacts

THROTTLES = {
    pynvml.nvmlClocksEventReasonSwPowerCap: "power",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "power brake",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "heat",
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "heat",
    pynvml.nvmlClocksEventReasonHwSlowdown: "hardware",
}
"""NVML's reasons for a slower clock that say something of the card; being idle or set to a clock is none."""


@dataclass(frozen=True)
class GpuProcess:
    """A process that computes on a card, with its bytes there; None where the driver does not say."""

    pid: int
    used: int | None


@dataclass(frozen=True)
class GpuReading:
    """One card at one moment. Bytes, percent, watts, degrees Celsius; None where the card does not say."""

    index: int
    uuid: str
    name: str
    total: int | None
    used: int | None
    free: int | None
    busy_percent: int | None
    watts: float | None
    watts_limit: float | None
    celsius: int | None
    sm_clock_mhz: int | None
    throttling: tuple[str, ...] | None
    """What slows the card down: power, power brake, heat, hardware."""
    processes: tuple[GpuProcess, ...] | None
    """None also where the driver counts processes otherwise than this container, so that nobody can be told apart."""


@dataclass(frozen=True)
class Cards:
    """Every card that NVML shows; `driver` is None and `reason` says why where it shows none."""

    gpus: tuple[GpuFacts, ...]
    driver: str | None
    cuda: tuple[int, int] | None
    """The newest CUDA that the driver runs, (major, minor)."""
    reason: str | None


def cards() -> Cards:
    """What is here now. Never raises."""
    try:
        with _nvml():
            gpus = tuple(_facts(index, handle) for index, handle in _handles())
            driver = _reading(pynvml.nvmlSystemGetDriverVersion)
            cuda = _reading(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    except (pynvml.NVMLError, OSError) as error:
        return Cards((), None, None, _why(error))
    reason = None if gpus else "the NVIDIA driver is loaded and shows no card"
    return Cards(gpus, _text(driver), (cuda // 1000, cuda % 1000 // 10) if cuda else None, reason)


def watch_gpus() -> list[GpuReading]:
    """A reading of each card, for the dashboard; takes milliseconds, so call it from a thread. Never raises."""
    try:
        with _nvml():
            return [_now(index, handle) for index, handle in _handles()]
    except (pynvml.NVMLError, OSError):
        return []


@contextmanager
def _nvml() -> Iterator[None]:
    pynvml.nvmlInit()
    try:
        yield
    finally:
        _reading(pynvml.nvmlShutdown)


def _handles() -> Iterator[tuple[int, Any]]:
    """A card that has fallen off the bus is left out."""
    for index in range(_reading(pynvml.nvmlDeviceGetCount) or 0):
        handle = _reading(pynvml.nvmlDeviceGetHandleByIndex, index)
        if handle is not None:
            yield index, handle


def _facts(index: int, handle: Any) -> GpuFacts:
    memory = _reading(pynvml.nvmlDeviceGetMemoryInfo, handle)
    capability = _reading(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    return GpuFacts(
        index=index,
        uuid=_text(_reading(pynvml.nvmlDeviceGetUUID, handle)) or f"GPU-{index}",
        name=_text(_reading(pynvml.nvmlDeviceGetName, handle)) or "NVIDIA GPU",
        total=int(memory.total) if memory else None,
        free=int(memory.free) if memory else None,
        capability=(int(capability[0]), int(capability[1])) if capability else None,
    )


def _now(index: int, handle: Any) -> GpuReading:
    facts = _facts(index, handle)
    memory = _reading(pynvml.nvmlDeviceGetMemoryInfo, handle)
    busy = _reading(pynvml.nvmlDeviceGetUtilizationRates, handle)
    watts = _reading(pynvml.nvmlDeviceGetPowerUsage, handle)
    limit = _reading(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    return GpuReading(
        index=index,
        uuid=facts.uuid,
        name=facts.name,
        total=facts.total,
        used=int(memory.used) if memory else None,
        free=facts.free,
        busy_percent=int(busy.gpu) if busy else None,
        watts=watts / 1000 if watts is not None else None,
        watts_limit=limit / 1000 if limit is not None else None,
        celsius=_reading(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        sm_clock_mhz=_reading(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
        throttling=_throttling(handle),
        processes=_processes(handle),
    )


def _throttling(handle: Any) -> tuple[str, ...] | None:
    reasons = _reading(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
    if reasons is None:
        return None
    return tuple(dict.fromkeys(word for bit, word in THROTTLES.items() if reasons & bit))


def _processes(handle: Any) -> tuple[GpuProcess, ...] | None:
    found = _reading(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    if found is None or not all(Path(f"/proc/{one.pid}").exists() for one in found):
        return None
    return tuple(GpuProcess(int(one.pid), one.usedGpuMemory) for one in found)


def _reading(ask: Callable[..., Any], *arguments: Any) -> Any:
    """One NVML call; None where this card, driver or MIG slice does not answer it."""
    try:
        return ask(*arguments)
    except (pynvml.NVMLError, OSError, AttributeError, TypeError, ValueError, UnicodeDecodeError):
        return None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if value is not None else None


_REASONS = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: NO_DRIVER,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed and not loaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the NVIDIA driver was updated and the old one still runs: restart the machine"
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: "this user may not talk to the NVIDIA driver",
}


def _why(error: Exception) -> str:
    code = getattr(error, "value", None)
    return _REASONS.get(code, str(error) or type(error).__name__) if code is not None else str(error)
