"""FSDP, where the processes of a run share one model: what it needs, and what it does not go with."""

from __future__ import annotations

from collections.abc import Iterator

from finetty.backend.messages import message
from finetty.backend.planning.draft import Draft

ALONE = message("plan.fsdp.alone", "FSDP shares a model among several cards, and this run has one process.")
NAME_CARDS = message(
    "plan.fsdp.name_cards", "List the cards in hardware.devices, start it with torchrun, or set hardware.fsdp: false."
)
NOT_WITH = message("plan.fsdp.not_with", "FSDP does not go with {option}: {value}.")
CHANGE_IT = message("plan.fsdp.change_it", "Set {option}: {value}, or hardware.fsdp: false.")
QUANTIZED = message("plan.fsdp.quantized", "FSDP cannot share out a checkpoint that is quantized already.")
OTHER_MODEL = message("plan.fsdp.other_model", "Choose its unquantized version, or set hardware.fsdp: false.")
NOT_PREDICTED = message(
    "plan.fsdp.not_predicted", "How much memory a card takes under FSDP is not predicted; the preflight measures it."
)

WHOLE_TENSORS = ("adamw", "adamw_fused")
"""Optimizers that work on tensors which are shared out; the others' kernels and factors want them whole."""


def check_sharding(draft: Draft) -> None:
    if not draft.asked.hardware.fsdp:
        return
    draft.find("note", "hardware.fsdp", NOT_PREDICTED())
    if draft.processes == 1:
        draft.find("error", "hardware.fsdp", ALONE(), NAME_CARDS())
    if draft.model is not None and draft.model.quantization is not None:
        draft.find("error", "hardware.fsdp", QUANTIZED(), OTHER_MODEL())
    for option, instead in _clashes(draft):
        said = NOT_WITH(option=option, value=_word(draft.value(option)))
        draft.find("error", option, said, CHANGE_IT(option=option, value=instead))


def _clashes(draft: Draft) -> Iterator[tuple[str, str]]:
    """Options whose values do not go with it, and what to set instead."""
    if draft.value("precision.quantization") not in ("none", "auto"):
        yield "precision.quantization", "none"
    if draft.value("training.optimizer") not in (*WHOLE_TENSORS, "auto"):
        yield "training.optimizer", WHOLE_TENSORS[0]
    if draft.value("acceleration.loss") == "chunked":
        yield "acceleration.loss", "plain"
    for option in ("acceleration.unsloth", "training.activation_offloading", "method.dora"):
        if draft.value(option):
            yield option, "false"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
