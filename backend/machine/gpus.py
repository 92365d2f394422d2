"""The cards, read through NVML. Nothing here raises: a reading that is not to be had is None, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynvml

from finetty.backend.machine.facts import NO_DRIVER, GpuFacts
from finetty.backend.machine.process_owner import owner_and_command
from finetty.backend.messages import Message, message

NOT_GIVEN = message("gpus.not_given", "this card does not give it")
OLD_DRIVER = message("gpus.old_driver", "this driver is too old to give it")
NOT_ALLOWED = message("gpus.not_allowed", "this user may not read it")
NOT_ANSWERED = message("gpus.not_answered", "the driver answers: {error}")
NO_CARD = message("gpus.no_card", "the NVIDIA driver is loaded and shows no card")
NO_SLICE = message(
    "gpus.no_slice", "the card is in MIG mode and no MIG device was made on it: `nvidia-smi mig -cgi` makes one"
)
NOT_LOADED = message("gpus.not_loaded", "the NVIDIA driver is installed and not loaded")
UPDATED = message("gpus.updated", "the NVIDIA driver was updated and the old one still runs: restart the machine")
NOT_OURS = message("gpus.not_ours", "this user may not talk to the NVIDIA driver")
ELSEWHERE = message("gpus.elsewhere", "this container does not see whose they are")

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
    """A process that computes on a card, with its bytes there; None is what this user or the driver cannot tell."""

    pid: int
    used: int | None
    user: str | None = None
    command: str | None = None


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
    memory_clock_mhz: int | None = None
    missing: Mapping[str, Message] = field(default_factory=dict)
    """Why a field is None, by the field's name."""


@dataclass(frozen=True)
class Cards:
    """Every card that NVML shows; `driver` is None and `reason` says why where it shows none."""

    gpus: tuple[GpuFacts, ...]
    driver: str | None
    cuda: tuple[int, int] | None
    """The newest CUDA that the driver runs, (major, minor)."""
    reason: Message | None


def cards() -> Cards:
    """What is here now. Never raises."""
    try:
        with _nvml():
            gpus = tuple(_facts(place) for place in _places())
            bare = None if gpus else NO_SLICE() if next(_whole_cards(), None) else NO_CARD()
            driver = _reading(pynvml.nvmlSystemGetDriverVersion)
            cuda = _reading(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    except (pynvml.NVMLError, OSError) as error:
        return Cards((), None, None, _why(error))
    return Cards(gpus, _text(driver), (cuda // 1000, cuda % 1000 // 10) if cuda else None, bare)


def watch_gpus() -> list[GpuReading]:
    """A reading of each card, for the dashboard; takes milliseconds, so call it from a thread. Never raises."""
    try:
        with _nvml():
            return [_now(place) for place in _places()]
    except (pynvml.NVMLError, OSError):
        return []


@contextmanager
def _nvml() -> Iterator[None]:
    pynvml.nvmlInit()
    try:
        yield
    finally:
        _reading(pynvml.nvmlShutdown)


@dataclass(frozen=True)
class _Place:
    """Where one can compute: a card, or a MIG device with the index of the card that it is a part of."""

    index: int
    handle: Any
    card: Any


def _places() -> Iterator[_Place]:
    """CUDA computes on the MIG devices of a card in MIG mode, never on the card itself."""
    for index, card in _whole_cards():
        mode = _reading(pynvml.nvmlDeviceGetMigMode, card)
        if not mode or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            yield _Place(index, card, card)
            continue
        for number in range(_reading(pynvml.nvmlDeviceGetMaxMigDeviceCount, card) or 0):
            handle = _reading(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, card, number)
            if handle is not None:
                yield _Place(index, handle, card)


def _whole_cards() -> Iterator[tuple[int, Any]]:
    """A card that has fallen off the bus is left out."""
    for index in range(_reading(pynvml.nvmlDeviceGetCount) or 0):
        handle = _reading(pynvml.nvmlDeviceGetHandleByIndex, index)
        if handle is not None:
            yield index, handle


def _facts(place: _Place) -> GpuFacts:
    handle = place.handle
    memory = _reading(pynvml.nvmlDeviceGetMemoryInfo, handle)
    capability = _reading(pynvml.nvmlDeviceGetCudaComputeCapability, place.card)
    return GpuFacts(
        index=place.index,
        uuid=_text(_reading(pynvml.nvmlDeviceGetUUID, handle)) or f"GPU-{place.index}",
        name=_text(_reading(pynvml.nvmlDeviceGetName, handle)) or "NVIDIA GPU",
        total=int(memory.total) if memory else None,
        free=int(memory.free) if memory else None,
        capability=(int(capability[0]), int(capability[1])) if capability else None,
    )


def _now(place: _Place) -> GpuReading:
    """Heat and clocks of a MIG device are its whole card's."""
    facts, answers = _facts(place), _Answers(place.handle)
    card = _Answers(place.card, answers.missing)
    memory = answers.ask("used", pynvml.nvmlDeviceGetMemoryInfo)
    busy = answers.ask("busy_percent", pynvml.nvmlDeviceGetUtilizationRates)
    watts = answers.ask("watts", pynvml.nvmlDeviceGetPowerUsage)
    limit = answers.ask("watts_limit", pynvml.nvmlDeviceGetEnforcedPowerLimit)
    return GpuReading(
        index=facts.index,
        uuid=facts.uuid,
        name=facts.name,
        total=facts.total,
        used=int(memory.used) if memory else None,
        free=facts.free,
        busy_percent=int(busy.gpu) if busy else None,
        watts=watts / 1000 if watts is not None else None,
        watts_limit=limit / 1000 if limit is not None else None,
        celsius=card.ask("celsius", pynvml.nvmlDeviceGetTemperature, pynvml.NVML_TEMPERATURE_GPU),
        sm_clock_mhz=card.ask("sm_clock_mhz", pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM),
        throttling=_throttling(card),
        processes=_processes(answers),
        memory_clock_mhz=card.ask("memory_clock_mhz", pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_MEM),
        missing=answers.missing,
    )


class _Answers:
    """What one card answers, and why it does not where it does not."""

    def __init__(self, handle: Any, missing: dict[str, Message] | None = None) -> None:
        self._handle = handle
        self.missing = {} if missing is None else missing

    def ask(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(self._handle, *arguments)
        except _UNANSWERED as error:
            self.missing[name] = _why_missing(error)
            return None


def _throttling(answers: _Answers) -> tuple[str, ...] | None:
    reasons = answers.ask("throttling", pynvml.nvmlDeviceGetCurrentClocksEventReasons)
    if reasons is None:
        return None
    return tuple(dict.fromkeys(word for bit, word in THROTTLES.items() if reasons & bit))


def _processes(answers: _Answers) -> tuple[GpuProcess, ...] | None:
    found = answers.ask("processes", pynvml.nvmlDeviceGetComputeRunningProcesses)
    if found is None:
        return None
    if not all(Path(f"/proc/{one.pid}").exists() for one in found):
        answers.missing["processes"] = ELSEWHERE()
        return None
    return tuple(GpuProcess(int(one.pid), one.usedGpuMemory, *owner_and_command(int(one.pid))) for one in found)


_UNANSWERED = (pynvml.NVMLError, OSError, AttributeError, TypeError, ValueError)


def _why_missing(error: Exception) -> Message:
    known = {
        pynvml.NVML_ERROR_NOT_SUPPORTED: NOT_GIVEN,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: OLD_DRIVER,
        pynvml.NVML_ERROR_NO_PERMISSION: NOT_ALLOWED,
    }.get(getattr(error, "value", None))
    return known() if known else NOT_ANSWERED(error=str(error))


def _reading(ask: Callable[..., Any], *arguments: Any) -> Any:
    """One NVML call; None where this card, driver or MIG slice does not answer it."""
    try:
        return ask(*arguments)
    except _UNANSWERED:
        return None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if value is not None else None


_REASONS = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: NO_DRIVER,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: NOT_LOADED,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: UPDATED,
    pynvml.NVML_ERROR_NO_PERMISSION: NOT_OURS,
}


def _why(error: Exception) -> Message:
    known = _REASONS.get(getattr(error, "value", None))
    return known() if known else NOT_ANSWERED(error=str(error))
