"""Where the run trains: a card of this machine, or its processor."""

from __future__ import annotations

from finetty.backend.machine.facts import NO_DRIVER, GpuFacts, MachineFacts
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
ONE_CARD = message("plan.devices.one_card", "A run trains on one card for now, and {count} are named.")
NAME_ONE = message("plan.devices.name_one", "Name one of them.")
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
        draft.find("error", "hardware.devices", ONE_CARD(count=len(names)), NAME_ONE())
        name = "auto"
    if name == "auto":
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
        if machine.gpu_reason not in (None, NO_DRIVER):
            draft.find("warning", "hardware.devices", BROKEN_CARD(reason=machine.gpu_reason), SEE_DOCTOR())
        return
    card = max(machine.gpus, key=lambda gpu: gpu.free or 0)
    _take(draft, card)
    reason = NAMED_CARD() if machine.imagined else MOST_FREE() if len(machine.gpus) > 1 else ONLY_CARD()
    draft.decide("hardware.devices", card.uuid or card.index, reason)


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
