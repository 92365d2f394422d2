"""What of a run can leave it: its result or last checkpoint, its base as it was, its recipe and what it measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from finetty.backend.conversation import Encoder, load_encoder
from finetty.backend.messages import Refusal, message
from finetty.backend.models.fingerprint import fingerprint
from finetty.backend.planning.plan import Plan
from finetty.backend.recipe import Recipe
from finetty.backend.runs import Run
from finetty.backend.training.checkpoints import last_checkpoint, read_about
from finetty.backend.training.place import model_folder, on_cpu

NOTHING_SAVED = message("results.nothing_saved", "The run {run} has neither a result nor a checkpoint.")
RESUME_IT = message("results.resume_it", "Train it first: `finetty resume {run}`.")
OTHER_BASE = message("results.other_base", "The base model in {folder} is not the one that this run began with.")
PUT_BACK = message("results.put_back", "Put the model back as it was: the result is a change to exactly those weights.")


@dataclass(frozen=True)
class Source:
    """A run that has something to give. Made by `source_of`, which checks that."""

    run: Run
    plan: Plan
    base: Path
    about: dict[str, Any]
    """What finetty noted with the last checkpoint: hashes of data and base, the held-out losses. May be empty."""

    @property
    def recipe(self) -> Recipe:
        return self.plan.recipe

    @property
    def is_adapter(self) -> bool:
        return self.recipe.method.name == "lora"

    @property
    def quantized(self) -> bool:
        return self.recipe.precision.quantization not in ("none", "auto")

    @property
    def on_cpu(self) -> bool:
        return on_cpu(self.plan)

    @cached_property
    def encoder(self) -> Encoder:
        return load_encoder(self.base, self.recipe)

    @property
    def base_name(self) -> str:
        """As another machine can find it: the name on the Hub, or the folder's own name."""
        path = self.recipe.model.path
        return self.base.name if Path(path).expanduser().is_dir() else path


def source_of(run: Run) -> Source:
    """Raises Refusal: nothing saved, the base gone, or other weights in its place."""
    plan = Plan.from_json(run.plan_document())
    checkpoint = last_checkpoint(run.checkpoints)
    if checkpoint is None and not run.output.is_dir():
        raise Refusal(NOTHING_SAVED(run=run.id), RESUME_IT(run=run.id))
    base = model_folder(plan.recipe)
    about = _about(checkpoint)
    if about.get("base") is not None and about["base"] != _fingerprint(base):
        raise Refusal(OTHER_BASE(folder=base), PUT_BACK(), option="model.path")
    return Source(run, plan, base, about)


def _about(checkpoint: Path | None) -> dict[str, Any]:
    try:
        return read_about(checkpoint) if checkpoint else {}
    except (OSError, ValueError):
        return {}


def _fingerprint(base: Path) -> str | None:
    try:
        return fingerprint(base)
    except OSError:
        return None
