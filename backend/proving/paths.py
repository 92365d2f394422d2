"""The ways of training that a machine has: method, number format and accelerator, on its processor and on its cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finetty.backend.machine import GpuFacts, MachineFacts

Options = dict[str, Any]
Ways = dict[str, Options]

LORA: Options = {"method.name": "lora", "precision.quantization": "none"}
FULL: Options = {"method.name": "full", "precision.quantization": "none"}
FREEZE: Options = {"method.name": "freeze", "precision.quantization": "none"}
PLAIN: Ways = {
    "lora": LORA,
    "lora, dora": LORA | {"method.dora": True},
    "lora, pissa": LORA | {"method.pissa": True},
    "lora, checkpointing": LORA | {"training.gradient_checkpointing": True},
    "full": FULL,
    "full, adafactor": FULL | {"training.optimizer": "adafactor"},
    "freeze": FREEZE,
}
"""With what every machine has."""
IN_BF16: Ways = {
    "lora, bf16": LORA | {"precision.compute": "bf16"},
    "full, bf16": FULL | {"precision.compute": "bf16"},
}
BITSANDBYTES: Ways = {
    "lora, nf4": LORA | {"precision.quantization": "nf4"},
    "lora, fp4": LORA | {"precision.quantization": "fp4"},
    "lora, int8": LORA | {"precision.quantization": "int8"},
    "full, adamw_8bit": FULL | {"training.optimizer": "adamw_8bit"},
}
ON_CARD: Ways = {
    "lora, fp16": LORA | {"precision.compute": "fp16"},
    "lora, fp32": LORA | {"precision.compute": "fp32"},
    "lora, offloading": LORA | {"training.activation_offloading": True},
}
FLASH: Ways = {
    "lora, fa2": LORA | {"acceleration.attention": "fa2"},
    "lora, fa2, packing": LORA | {"acceleration.attention": "fa2", "dataset.packing": True},
    "lora, nf4, fa2": BITSANDBYTES["lora, nf4"] | {"acceleration.attention": "fa2"},
}
UNSLOTH: Ways = {
    "lora, unsloth": LORA | {"acceleration.unsloth": True},
    "lora, nf4, unsloth": BITSANDBYTES["lora, nf4"] | {"acceleration.unsloth": True},
}
TEXTS: Ways = {"texts, packing": LORA | {"dataset.packing": True}}
"""Continued pretraining: several texts in one sequence."""
SEVERAL: Ways = {"lora, ddp": LORA, "full, fsdp": FULL | {"hardware.fsdp": True}}
"""A process on each of several cards."""


@dataclass(frozen=True)
class TrainingPath:
    """`name` in the words of the recipe, the device by its name, and the recipe's options that make it."""

    name: str
    device: str
    options: Options
    texts: bool = False
    """Whether it is trained on plain texts, not on rows with answers."""


def training_paths(machine: MachineFacts, quantized: dict[str, str] | None = None) -> list[TrainingPath]:
    """What can be tried here: the processor, each card by itself, all cards together. Missing libraries are left out.

    `quantized`: the names of models on this machine that are quantized already, by how they are.
    """
    found = _paths(machine, None, quantized or {})
    for card in machine.gpus:
        found += _paths(machine, card, quantized or {})
    if len(machine.gpus) > 1:
        devices = {"hardware.devices": [card.uuid or card.index for card in machine.gpus]}
        together = f"{len(machine.gpus)} × {machine.gpus[0].name}"
        found += [TrainingPath(way, together, devices | options) for way, options in SEVERAL.items()]
    return found


def _paths(machine: MachineFacts, card: GpuFacts | None, quantized: dict[str, str]) -> list[TrainingPath]:
    device = {"hardware.devices": "cpu" if card is None else card.uuid or card.index}
    name = machine.cpu if card is None else card.name
    ways = dict(PLAIN)
    if card is not None or machine.cpu_fast_bf16:  # emulated it would take half an hour
        ways |= IN_BF16
    if machine.usable("bitsandbytes"):
        ways |= BITSANDBYTES
    if machine.usable("unsloth"):
        ways |= UNSLOTH
    if card is not None:
        ways |= _on_card(machine)
    if machine.usable("gptqmodel"):
        ways |= {f"lora, {kind}": {"method.name": "lora", "model.path": model} for kind, model in quantized.items()}
    usable = {way: options for way, options in ways.items() if _has_kernels(machine, options)}
    found = [TrainingPath(way, name, device | options) for way, options in usable.items()]
    return found + [TrainingPath(way, name, device | options, texts=True) for way, options in TEXTS.items()]


def _on_card(machine: MachineFacts) -> Ways:
    ways = dict(ON_CARD)
    if machine.has_flash_attention:
        ways |= FLASH
    if machine.usable("liger_kernel"):
        ways["lora, liger"] = LORA | {"acceleration.liger": True}
    return ways


def _has_kernels(machine: MachineFacts, options: Options) -> bool:
    return options.get("precision.quantization", "none") == "none" or machine.usable("bitsandbytes")
