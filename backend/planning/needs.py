"""What a model needs at the least to be tuned on this machine, by plan()'s own estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from finetty.backend.machine.facts import MachineFacts
from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning.plan import Memory
from finetty.backend.planning.planner import plan
from finetty.backend.recipe import Recipe, with_values

ROW = 1024
"""Tokens of the row that the estimate is for; one row at a time, with checkpointing."""

Way = Literal["LoRA", "QLoRA"]


@dataclass(frozen=True)
class Need:
    """One way of tuning it, and its memory."""

    way: Way
    memory: Memory

    @property
    def possible(self) -> bool:
        return self.memory.verdict in ("fits", "tight")


def least_needs(model: ModelFacts, machine: MachineFacts) -> tuple[Need, ...]:
    """LoRA on the weights as they are, and on 4-bit ones; a way that the rules forbid is left out."""
    if model.quantization is not None:
        return ()
    ways: dict[Way, str] = {"LoRA": "none", "QLoRA": "nf4"}
    found = ((way, plan(_least(model, quantization), model, machine, None)) for way, quantization in ways.items())
    return tuple(
        Need(way, planned.memory)
        for way, planned in found
        if planned.memory.live and not any(error.option == "precision.quantization" for error in planned.errors)
    )


def free_memory(machine: MachineFacts) -> int | None:
    """Bytes free where a run would train; None where that is not known."""
    device = plan(Recipe(), None, machine, None).memory.device
    return device.free if device else None


def _least(model: ModelFacts, quantization: str) -> Recipe:
    return with_values(
        Recipe(),
        {
            "model.path": model.path,
            "dataset.cutoff": min(ROW, model.context_length or ROW),
            "precision.quantization": quantization,
            "training.batch": 16,
            "training.micro_batch": 1,
            "training.gradient_checkpointing": True,
        },
    )
