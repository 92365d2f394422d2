"""Variants of a method and of its training that do not go with everything: PiSSA, LoRA+, offloading, patience, logs."""

from __future__ import annotations

from finetty.backend.messages import message
from finetty.backend.planning.draft import Draft

LORA_ONLY = message("plan.variants.lora_only", "{name} is a kind of LoRA, and the method is {method}.")
TURN_OFF = message("plan.variants.turn_off", "Set {option}: {value}, or method.name: lora.")
NO_LOG = message("plan.variants.no_log", "The recipe logs to {name}, which is not installed.")
INSTALL = message("plan.variants.install", "Run: {command}")
PISSA_QUANTIZED = message(
    "plan.variants.pissa_quantized",
    "PiSSA takes its directions out of the base's own weights, which it cannot do with quantized ones.",
)
PISSA_OR_WHOLE = message("plan.variants.pissa_or_whole", "Set method.pissa: false, or precision.quantization: none.")
NOT_TOGETHER = message("plan.variants.not_together", "{name} and {other} do not go together.")
ONE_OF_THEM = message("plan.variants.one_of_them", "Set {option}: false, or {other}: false.")
OFFLOADING_CPU = message(
    "plan.variants.offloading_cpu", "On a processor activations are in RAM already; there is nowhere to put them."
)
NO_OFFLOADING = message("plan.variants.no_offloading", "Set training.activation_offloading: false.")
NOTHING_HELD_OUT = message(
    "plan.variants.nothing_held_out", "Patience waits for a lower held-out loss, and no row is held out."
)
HOLD_OUT = message("plan.variants.hold_out", "Set dataset.validation: auto, or training.patience: null.")


def check_variants(draft: Draft) -> None:
    for log in draft.asked.output.logs:
        if log not in draft.machine.extras and not draft.machine.imagined:
            draft.find("error", "output.logs", NO_LOG(name=log), INSTALL(command=f"pip install {log}"))
    method, training = draft.asked.method, draft.asked.training
    if method.pissa:
        _check_pissa(draft)
    if method.lora_plus is not None and method.name != "lora":
        said = LORA_ONLY(name="LoRA+", method=method.name)
        draft.find("error", "method.lora_plus", said, TURN_OFF(option="method.lora_plus", value="null"))
    if training.activation_offloading and draft.on_cpu:
        draft.find("error", "training.activation_offloading", OFFLOADING_CPU(), NO_OFFLOADING())
    if training.activation_offloading and draft.value("acceleration.unsloth"):
        _not_together(draft, "training.activation_offloading", "Offloading", "acceleration.unsloth", "Unsloth")
    if training.patience is not None and draft.value("dataset.validation") == 0:
        draft.find("error", "training.patience", NOTHING_HELD_OUT(), HOLD_OUT())


def _check_pissa(draft: Draft) -> None:
    if draft.method != "lora":
        said = LORA_ONLY(name="PiSSA", method=draft.method)
        draft.find("error", "method.pissa", said, TURN_OFF(option="method.pissa", value="false"))
        return
    quantized_already = draft.model is not None and draft.model.quantization is not None
    if draft.value("precision.quantization") != "none" or quantized_already:
        draft.find("error", "method.pissa", PISSA_QUANTIZED(), PISSA_OR_WHOLE())
    if draft.asked.method.dora:
        _not_together(draft, "method.pissa", "PiSSA", "method.dora", "DoRA")
    if draft.value("acceleration.unsloth"):
        _not_together(draft, "method.pissa", "PiSSA", "acceleration.unsloth", "Unsloth")


def _not_together(draft: Draft, option: str, name: str, other_option: str, other: str) -> None:
    fix = ONE_OF_THEM(option=option, other=other_option)
    draft.find("error", option, NOT_TOGETHER(name=name, other=other), fix)
