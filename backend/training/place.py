"""Where a run's model is and on which device it goes, without importing torch."""

from __future__ import annotations

import os
from pathlib import Path

from finetty.backend.messages import Refusal, message
from finetty.backend.models import locate
from finetty.backend.planning.plan import Plan
from finetty.backend.recipe import Recipe

MODEL_GONE = message("training.model_gone", "The model {name} is not on this machine any more.")
FETCH_IT = message("training.fetch_it", "Put it back, or start again from the recipe.")


def model_folder(recipe: Recipe) -> Path:
    """The base model's folder. Raises Refusal when it is not on this machine."""
    folder = locate(recipe.model.path, recipe.model.revision)
    if folder is None:
        raise Refusal(MODEL_GONE(name=recipe.model.path), FETCH_IT(), option="model.path")
    return folder


def on_cpu(plan: Plan) -> bool:
    if plan.recipe.hardware.devices == "cpu":
        return True
    return plan.memory.device is None or plan.memory.device.kind == "cpu"


def settle(plan: Plan) -> None:
    """Show torch only the plan's cards, and let its threads sleep while they wait. Has to come before torch is used."""
    os.environ.update(surroundings(plan))


def surroundings(plan: Plan) -> dict[str, str]:
    """The variables of the environment that torch reads as it begins. Cards are numbered as NVML numbers them."""
    # A thread that waits for the others by spinning takes the core they need, as soon as anything else runs on the
    # machine, the dashboard among it: measured under load, a step took three times as long as with sleeping waits.
    waiting = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive")}
    if on_cpu(plan):
        return waiting
    devices, device = plan.recipe.hardware.devices, plan.memory.device
    chosen = devices if isinstance(devices, list) else [(device and device.uuid) or devices]
    if chosen == ["auto"]:
        return waiting
    shown = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(str(one) for one in chosen)}
    return waiting | shown
