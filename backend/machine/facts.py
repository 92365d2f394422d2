"""What plan() needs to know of this machine; every missing reading is None, and says why."""

from __future__ import annotations

from dataclasses import dataclass, field

NO_DRIVER = "no NVIDIA driver is installed"
"""`gpu_reason` on a machine that most likely has no card; any other means that one is here and cannot be used."""


@dataclass(frozen=True)
class GpuFacts:
    """One card, as NVML reports it. Sizes are bytes; `capability` is (major, minor), compared as numbers."""

    index: int
    uuid: str
    name: str
    total: int | None
    free: int | None
    capability: tuple[int, int] | None


@dataclass(frozen=True)
class Accelerator:
    """An optional library. `version` is None where it cannot be used; then `reason` and `fix` say why, in English."""

    name: str
    version: str | None
    reason: str | None = None
    fix: str | None = None


@dataclass(frozen=True)
class MachineFacts:
    """Host and cards. `driver` is NVIDIA's version, None without one, with `gpu_reason` saying why."""

    hostname: str
    cpu: str
    cores: int
    ram_total: int
    ram_available: int
    disk_free: int
    """Bytes free where runs are written."""
    cpu_fast_bf16: bool
    gpus: tuple[GpuFacts, ...] = ()
    driver: str | None = None
    gpu_reason: str | None = None
    accelerators: dict[str, Accelerator] = field(default_factory=dict)
    """By import name: flash_attn, unsloth, liger_kernel, bitsandbytes."""
    torch_version: str | None = None
    torch_cuda: str | None = None
    """The CUDA that the installed torch was built for; None for a torch without."""
    imagined: bool = False
    """The cards are not here: the plan is for a card that was named."""

    def usable(self, name: str) -> bool:
        found = self.accelerators.get(name)
        return found is not None and found.version is not None
