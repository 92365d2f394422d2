"""What this machine lacks for training, and the command that mends it without replacing anything that is here."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from finetty.backend.files import write_whole
from finetty.backend.machine import accelerators
from finetty.backend.machine.facts import HOPPER, NO_DRIVER, Accelerator, MachineFacts
from finetty.backend.machine.reading import machine_facts
from finetty.backend.machine.torch_builds import decide
from finetty.backend.machine.torch_here import installed_torch
from finetty.backend.machine.torch_mismatch import mismatch
from finetty.backend.messages import Message, message

TORCH_MISSING = message("mending.torch_missing", "torch is not installed, and nothing can be trained without it.")
TORCH_WRONG = message("mending.torch_wrong", "The card cannot be used: {problem}.")
NOT_USABLE = message("mending.not_usable", "It cannot be used: {reason}.")
NOT_INSTALLED = message("mending.not_installed", "{package} is not installed.")
NEEDS_CARD = message("mending.needs_card", "It needs an NVIDIA card, and none can be used here.")
NEEDS_AMPERE = message(
    "mending.needs_ampere", "It needs a card of compute capability 8.0 or newer; the best here has {capability}."
)
UPDATE_DRIVER = message(
    "mending.update_driver",
    "Have the NVIDIA driver updated: no torch that finetty takes runs on {driver}. finetty cannot do that.",
)
MAY_COMPILE = message(
    "mending.may_compile",
    "Where there is no ready-made build for this torch it is compiled, which needs the CUDA toolkit and may take an"
    " hour; it can be cancelled at any time.",
)
LARGE = message("mending.large", "A build with CUDA is a download of two to three gigabytes.")

NO_CARD = message("mending.no_card", "No card can be used: {reason}. Training works on the processor, slowly.")
GET_DRIVER = message(
    "mending.get_driver",
    "Where there is a card: install NVIDIA's driver, or start the container with --gpus all. finetty cannot do that.",
)
MEND_DRIVER = message(
    "mending.mend_driver", "`nvidia-smi` may say more; it is for whoever runs this machine to mend the driver."
)
TORCH_BLIND = message(
    "mending.torch_blind", "torch {version} fits this driver and card, and still cannot compute on it: {reason}."
)
LOOK_AROUND = message(
    "mending.look_around",
    "Look at CUDA_VISIBLE_DEVICES, at how the container was started, and whether the machine waits for a restart.",
)

BY_HAND = message(
    "mending.by_hand",
    "finetty never builds it: that needs the CUDA toolkit and may take an hour. Whoever wants it: {command}",
)

ON_CARDS_ONLY = ("kernels", "flash_attn", "liger_kernel", "gptqmodel")
NEVER_BUILT = ("flash_attn", "flash_attn_interface")
AMPERE = (8, 0)


@dataclass(frozen=True)
class Lack:
    """Something that is not here. `pip` is what pip is given to mend it; None where finetty has no command for it."""

    name: str
    reason: Message
    pip: tuple[str, ...] | None = None
    note: Message | None = None
    urgent: bool = False

    @property
    def by_hand(self) -> str | None:
        """The command as a person types it, with this environment's own pip."""
        return None if self.pip is None else shlex.join((sys.executable, "-m", "pip", "install", *self.pip))

    @property
    def command(self) -> tuple[str, ...] | None:
        """The whole command, with this environment's own pip and, but for torch itself, with everything else held."""
        if self.pip is None:
            return None
        held = ("--constraint", str(held_path())) if self.name != "torch" else ()
        return (sys.executable, "-m", "pip", "install", *held, *self.pip)


def lacks(machine: MachineFacts, blind: str | None = None) -> tuple[Lack, ...]:
    """What is missing or broken, the urgent first. Reads nothing: the machine's facts say it all.

    `blind`: why torch cannot compute on the card, as card_fault() found; None where it can or was not asked.
    """
    found = [
        *_torch(machine, blind),
        *_driver(machine),
        *(
            _lack(one, machine)
            for one in machine.accelerators.values()
            if one.version is None and _of_use(one, machine)
        ),
    ]
    return tuple(found)


def _of_use(missing: Accelerator, machine: MachineFacts) -> bool:
    """Whether anything would be better with it on this machine."""
    if missing.name in ("flash_attn", "kernels"):
        return not machine.has_flash_attention
    if missing.name == "flash_attn_interface":
        return any(gpu.capability is not None and gpu.capability[0] == HOPPER for gpu in machine.gpus)
    return missing.name != "deepspeed" or not _absent(missing)


def _absent(missing: Accelerator) -> bool:
    return (missing.reason or "").endswith(" is not installed")


def _driver(machine: MachineFacts) -> Iterator[Lack]:
    if not machine.gpus:
        broken, reason = machine.has_broken_card, NO_CARD(reason=machine.gpu_reason or NO_DRIVER())
        yield Lack("driver", reason, None, MEND_DRIVER() if broken else GET_DRIVER(), urgent=broken)


def _torch(machine: MachineFacts, blind: str | None) -> Iterator[Lack]:
    capabilities = [gpu.capability for gpu in machine.gpus if gpu.capability is not None]
    build = decide(machine.driver, capabilities).build
    if machine.torch_version is None:
        yield Lack("torch", TORCH_MISSING(), tuple(build.pip_arguments), urgent=True)
    elif capabilities and machine.driver is not None:
        wrong = mismatch(machine.driver, max(capabilities), machine.torch_cuda)
        if wrong is not None and build.cuda is not None:
            yield Lack("torch", TORCH_WRONG(problem=wrong), tuple(build.pip_arguments), LARGE(), urgent=True)
        elif wrong is not None:
            yield Lack("torch", TORCH_WRONG(problem=wrong), None, UPDATE_DRIVER(driver=machine.driver), urgent=True)
        elif blind is not None:
            said = TORCH_BLIND(version=machine.torch_version, reason=blind)
            yield Lack("torch", said, None, LOOK_AROUND(), urgent=True)


def _lack(missing: Accelerator, machine: MachineFacts) -> Lack:
    said = missing.reason or ""
    absent = _absent(missing)
    reason = NOT_INSTALLED(package=said.removesuffix(" is not installed")) if absent else NOT_USABLE(reason=said)
    if missing.name in ON_CARDS_ONLY and not machine.gpus:
        return Lack(missing.name, NEEDS_CARD())
    best = max((gpu.capability for gpu in machine.gpus if gpu.capability), default=None)
    if missing.name in ("flash_attn", "kernels") and best is not None and best < AMPERE:
        return Lack(missing.name, NEEDS_AMPERE(capability=f"{best[0]}.{best[1]}"))
    if missing.name in NEVER_BUILT:
        return Lack(missing.name, reason, None, BY_HAND(command=missing.fix or ""))
    arguments = tuple(shlex.split(missing.fix or "")[2:])
    return Lack(missing.name, reason, arguments or None, MAY_COMPILE() if missing.name == "gptqmodel" else None)


def held_path() -> Path:
    """The constraints that hold what is installed, beside what was found out of this environment."""
    return accelerators.memory_file().with_name("installed.txt")


def hold_installed(lack: Lack) -> None:
    """Write the constraints for this lack's command. Raises OSError."""
    wanted = {_plain(word) for word in lack.pip or () if not word.startswith("-")}
    path = held_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(f"{line}\n" for line in _installed(wanted)).encode())


def _installed(but: Iterable[str]) -> list[str]:
    """Every package of this environment at its version, but finetty and those that the command is to bring."""
    left_out = {"finetty", *but}
    named = ((one.metadata["Name"], one.version) for one in metadata.distributions())
    held = {_plain(name): version for name, version in named if name and version}
    return [f"{name}=={version}" for name, version in sorted(held.items()) if name not in left_out]


def _plain(requirement: str) -> str:
    """A requirement's name as package indexes compare names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[=<>!~; ]", requirement, maxsplit=1)[0]).lower()


def look_again() -> MachineFacts:
    """The machine after a command has changed what is installed, with each accelerator imported for real. Slow."""
    importlib.invalidate_caches()
    installed_torch.cache_clear()
    accelerators.prove()
    return machine_facts()
