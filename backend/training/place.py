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


def show_devices(recipe: Recipe, *, on_cpu: bool) -> None:
    """Show torch only the recipe's cards, numbered as NVML numbers them. Has to come before CUDA is touched."""
    devices = recipe.hardware.devices
    if on_cpu or devices in ("auto", "cpu"):
        return
    chosen = devices if isinstance(devices, list) else [devices]
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(device) for device in chosen)
