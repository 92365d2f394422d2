"""Where the run trains: a card of this machine, or its processor."""

from __future__ import annotations

from collections.abc import Sequence

from finetty.backend.machine.facts import GpuFacts, MachineFacts
from finetty.backend.memory import Device
from finetty.backend.messages import message
from finetty.backend.planning.draft import Draft

MOST_FREE = message("plan.devices.most_free", "the card with the most free memory")
ONLY_CARD = message("plan.devices.only_card", "the only card here")
NO_CARD = message("plan.devices.no_card", "no NVIDIA card is here")
BROKEN_CARD = message("plan.devices.broken_card", "A card seems to be here and cannot be used: {reason}.")
SEE_DOCTOR = message("plan.devices.see_doctor", "`finetty doctor` says what mends it; until then the processor trains.")
NAMED_CARD = message("plan.devices.named_card", "the card that the plan is for")
NO_SUCH_CARD = message("plan.devices.no_such_card", "There is no card {name} on this machine.")
CARDS_HERE = message("plan.devices.cards_here", "Here are: {names}.")
NONE_HERE = message("plan.devices.none_here", "Set hardware.devices: auto, which takes the processor here.")
SEVERAL_SLICES = message(
    "plan.devices.several_slices",
    "One run cannot train on several MIG slices: a process sees one slice, and NCCL connects no two of them.",
)
ONE_SLICE = message("plan.devices.one_slice", "Name one slice in hardware.devices, or have MIG turned off.")
ALL_CARDS = message("plan.devices.all_cards", "torchrun started {processes} processes, each for a card of its own")
TORCH_WITHOUT_CUDA = message(
    "plan.devices.torch_without_cuda", "The installed torch {version} cannot use a card: it was built without CUDA."
)
MEND_TORCH = message(
    "plan.devices.mend_torch", "`finetty doctor` names the command that installs the right one; or set devices: cpu."
)


def choose_device(draft: Draft) -> None:
    asked = draft.asked.hardware.devices
    names = asked if isinstance(asked, list) else [asked]
    name = names[0] if names else "auto"
    if len(names) > 1:
        _several(draft, names)
    elif name == "auto" and draft.machine.processes > 1 and draft.machine.gpus:
        cards = [gpu.uuid or gpu.index for gpu in draft.machine.gpus][: draft.machine.processes]
        draft.decide("hardware.devices", cards, ALL_CARDS(processes=draft.machine.processes))
        _several(draft, cards)
    elif name == "auto":
        _best(draft)
    elif name == "cpu":
        _take(draft, None)
    else:
        _named(draft, name)


def _best(draft: Draft) -> None:
    machine = draft.machine
    if not machine.gpus:
        _take(draft, None)
        draft.decide("hardware.devices", "cpu", NO_CARD())
        if machine.has_broken_card:
            draft.find("warning", "hardware.devices", BROKEN_CARD(reason=machine.gpu_reason), SEE_DOCTOR())
        return
    card = max(machine.gpus, key=lambda gpu: gpu.free or 0)
    _take(draft, card)
    reason = NAMED_CARD() if machine.imagined else MOST_FREE() if len(machine.gpus) > 1 else ONLY_CARD()
    draft.decide("hardware.devices", card.uuid or card.index, reason)


def _several(draft: Draft, names: Sequence[int | str]) -> None:
    """A process for each card. What the fullest card holds, all of them have to hold."""
    cards: list[GpuFacts] = []
    for name in names:
        _named(draft, name)
        if draft.gpu is None:
            return
        if draft.gpu not in cards:
            cards.append(draft.gpu)
    if len(cards) > 1 and any(gpu.uuid.startswith("MIG-") for gpu in cards):
        draft.find("error", "hardware.devices", SEVERAL_SLICES(), ONE_SLICE())
    _take(draft, min(cards, key=lambda gpu: gpu.free or 0))
    draft.decided["hardware.devices"] = [gpu.uuid or gpu.index for gpu in cards]


def _named(draft: Draft, name: int | str) -> None:
    card = next((gpu for gpu in draft.machine.gpus if _is(gpu, name)), None)
    _take(draft, card)
    if card is not None:
        draft.decided["hardware.devices"] = card.uuid or card.index
        return
    here = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in draft.machine.gpus)
    fix = CARDS_HERE(names=here) if here else NONE_HERE()
    draft.find("error", "hardware.devices", NO_SUCH_CARD(name=name), fix)


def _is(gpu: GpuFacts, name: int | str) -> bool:
    if isinstance(name, int) or name.isdigit():
        return gpu.index == int(name)
    return gpu.uuid == name or (len(name) >= 8 and gpu.uuid.startswith(name))


def _take(draft: Draft, card: GpuFacts | None) -> None:
    draft.gpu = card
    machine = draft.machine
    if card is None:
        draft.device = Device("cpu", machine.cpu, machine.ram_total or None, machine.ram_available or None)
        return
    draft.device = Device("cuda", card.name, card.total, card.free, card.uuid or None)
    if _torch_blind(machine):
        draft.find(
            "error",
            "hardware.devices",
            TORCH_WITHOUT_CUDA(version=machine.torch_version),
            MEND_TORCH(),
        )


def _torch_blind(machine: MachineFacts) -> bool:
    return not machine.imagined and machine.torch_version is not None and machine.torch_cuda is None
