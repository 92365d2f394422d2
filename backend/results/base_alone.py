"""A plan's base model before anything is trained: what it answers to the rows that it shall learn."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psutil

from finetty.backend.conversation import load_encoder
from finetty.backend.messages import Refusal, message
from finetty.backend.planning.plan import Plan
from finetty.backend.results.speaker import Speaker
from finetty.backend.training.place import model_folder, on_cpu, settle

TOO_LARGE = message(
    "results.too_large_to_answer", "The model takes {needed} GiB to answer, and {free} GiB of memory are free here."
)
TAKE_SMALLER = message(
    "results.take_smaller", "Choose a smaller model, set precision.quantization: nf4, or free some memory."
)
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
GIB = 1 << 30


class BaseAlone(Speaker):
    """It answers as the base, whoever is asked."""

    def __init__(self, plan: Plan) -> None:
        """Raises Refusal: the model is not here, cannot be loaded, or is too large for what is free."""
        folder = model_folder(plan.recipe)
        check_room(plan)
        settle(plan)
        self.encoder = load_encoder(folder, plan.recipe)
        from finetty.backend.training.load import load_model

        self._model = load_model(folder, plan.recipe, on_cpu=on_cpu(plan), to_train=False).eval()

    def model(self, *, base: bool) -> tuple[Any, AbstractContextManager[Any]]:
        return self._model, nullcontext()


def check_room(plan: Plan) -> None:
    """Refuses a model whose weights alone are more than what is free: loading it would bring the machine down."""
    needed, free = _weights(plan), psutil.virtual_memory().available
    if not on_cpu(plan) and plan.memory.device is not None:
        free = plan.memory.device.free or needed
    if needed > free:
        said = TOO_LARGE(needed=f"{needed / GIB:.1f}", free=f"{free / GIB:.1f}")
        raise Refusal(said, TAKE_SMALLER(), option="model.path")


def _weights(plan: Plan) -> int:
    """Bytes of the model's weights as they are loaded to answer; 0 where plan() does not know them."""
    precision, live = plan.recipe.precision, plan.memory.live
    if precision.quantization not in ("none", "auto"):
        return live.components.get("weights", 0) if live is not None else 0
    return (plan.total_parameters or 0) * BYTES.get(precision.compute, 4)
