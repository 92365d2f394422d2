"""The guide's methods as a person chooses among them, each planned for these very answers."""

from __future__ import annotations

from typing import Literal

from finetty.backend.dataset.facts import DataFacts
from finetty.backend.machine.facts import MachineFacts
from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning.plan import Plan
from finetty.backend.planning.planner import plan
from finetty.backend.recipe import Recipe, value_of, with_values

Method = Literal["lora", "qlora", "freeze", "full"]

ANSWERS: dict[Method, dict[str, str]] = {
    "lora": {"method.name": "lora", "precision.quantization": "none"},
    "qlora": {"method.name": "lora", "precision.quantization": "nf4"},
    "freeze": {"method.name": "freeze", "precision.quantization": "auto"},
    "full": {"method.name": "full", "precision.quantization": "auto"},
}
"""What of a recipe makes it a method."""
LEAST = {"training.micro_batch": 1, "training.gradient_checkpointing": True}


def method_of(recipe: Recipe) -> Method:
    """QLoRA is LoRA on 4-bit weights; 8-bit ones are LoRA still."""
    if recipe.method.name == "lora" and recipe.precision.quantization in ("nf4", "fp4"):
        return "qlora"
    return recipe.method.name


def planned_methods(
    recipe: Recipe, model: ModelFacts | None, machine: MachineFacts, data: DataFacts | None
) -> dict[Method, Plan]:
    """Each as small as it can be: what plan() may choose by memory is one row at a time, with checkpointing.

    All are for rows of one length, that which QLoRA carries: else a method might look small because it cuts them.
    """
    least = with_values(recipe, {name: value for name, value in LEAST.items() if value_of(recipe, name) == "auto"})
    smallest = plan(with_values(least, ANSWERS["qlora"]), model, machine, data)
    same_rows = with_values(least, {"dataset.cutoff": smallest.recipe.dataset.cutoff})
    others: dict[Method, Plan] = {
        method: plan(with_values(same_rows, answers), model, machine, data)
        for method, answers in ANSWERS.items()
        if method != "qlora"
    }
    return {method: others.get(method, smallest) for method in ANSWERS}
