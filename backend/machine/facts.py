"""What plan() needs to know of this machine; every missing reading is None, and says why."""

from __future__ import annotations

from dataclasses import dataclass, field

from finetty.backend.machine.peaks import Peak
from finetty.backend.messages import Message, message

NO_DRIVER = message("gpus.no_driver", "no NVIDIA driver is installed")
"""`gpu_reason` on a machine that most likely has no card; any other means that one is here and cannot be used."""
HOPPER = 9
"""The major capability of the only cards that FlashAttention-3 is for (Dao-AILab/flash-attention, README)."""


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
    gpu_reason: Message | None = None
    accelerators: dict[str, Accelerator] = field(default_factory=dict)
    """By import name: those of machine/accelerators.py's PACKAGES."""
    torch_version: str | None = None
    torch_cuda: str | None = None
    """The CUDA that the installed torch was built for; None for a torch without."""
    peaks: tuple[Peak, ...] = ()
    """What earlier runs on cards of this machine took, and what had been predicted."""
    extras: tuple[str, ...] = ()
    """Installed packages that one option or another needs: tensorboard, wandb, trackio, optimum."""
    processes: int = 1
    """How many processes torchrun started for this run, on all its machines."""
    imagined: bool = False
    """The cards are not here: the plan is for a card that was named."""

    def usable(self, name: str) -> bool:
        found = self.accelerators.get(name)
        return found is not None and found.version is not None

    @property
    def has_broken_card(self) -> bool:
        """A card seems to be here, and cannot be used."""
        return not self.gpus and self.gpu_reason is not None and self.gpu_reason.id != NO_DRIVER.id

    @property
    def has_flash_attention(self) -> bool:
        """FlashAttention-2: compiled, or ready-made through the Hub's `kernels` package."""
        return self.usable("flash_attn") or self.usable("kernels")
