"""The ways of training that a machine has: method, number format and accelerator, on its processor and on its cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finetty.backend.machine import GpuFacts, MachineFacts

LORA: dict[str, Any] = {"method.name": "lora", "precision.quantization": "none"}


@dataclass(frozen=True)
class TrainingPath:
    """`name` in the words of the recipe, the device by its name, and the recipe's options that make it."""

    name: str
    device: str
    options: dict[str, Any]


def training_paths(machine: MachineFacts) -> list[TrainingPath]:
    """What can be tried here: the processor first, then each card by itself. Missing libraries are left out."""
    found = _paths(machine, None)
    for card in machine.gpus:
        found += _paths(machine, card)
    return found


def _paths(machine: MachineFacts, card: GpuFacts | None) -> list[TrainingPath]:
    device: dict[str, Any] = {"hardware.devices": "cpu" if card is None else card.uuid or card.index}
    name = machine.cpu if card is None else card.name
    ways = {
        "lora": LORA,
        "lora, nf4": LORA | {"precision.quantization": "nf4"},
        "lora, int8": LORA | {"precision.quantization": "int8"},
        "full": {"method.name": "full", "precision.quantization": "none"},
        "freeze": {"method.name": "freeze", "precision.quantization": "none"},
    }
    if not machine.usable("bitsandbytes"):
        ways = {way: options for way, options in ways.items() if options["precision.quantization"] == "none"}
    if machine.usable("unsloth"):
        ways["lora, unsloth"] = LORA | {"acceleration.unsloth": True}
    if card is not None and machine.has_flash_attention:
        ways["lora, fa2"] = LORA | {"acceleration.attention": "fa2"}
    if card is not None and machine.usable("liger_kernel"):
        ways["lora, liger"] = LORA | {"acceleration.liger": True}
    return [TrainingPath(way, name, device | options) for way, options in ways.items()]
