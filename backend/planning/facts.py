"""gather(): all the reading that plan() needs done: model, machine, data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from finetty.backend.conversation import Encoder, load_encoder
from finetty.backend.dataset import Rows, data_facts, read_rows, read_validation
from finetty.backend.dataset.facts import DataFacts
from finetty.backend.machine import machine_facts
from finetty.backend.machine.facts import MachineFacts
from finetty.backend.machine.named_cards import card_named
from finetty.backend.messages import Message, Refusal
from finetty.backend.models import fetch, locate, model_facts
from finetty.backend.models.facts import ModelFacts
from finetty.backend.models.sources import is_on_the_hub
from finetty.backend.planning.checks import CHOOSE_MODEL, NO_MODEL
from finetty.backend.recipe import Recipe


@dataclass(frozen=True)
class Facts:
    """What plan() is told, and beside it the rows and the encoder for whoever shows them."""

    model: ModelFacts
    machine: MachineFacts
    data: DataFacts
    encoder: Encoder | None
    rows: Rows


def gather(
    recipe: Recipe,
    *,
    runs_root: Path | None = None,
    gpu: str | None = None,
    report: Callable[[Message], None] | None = None,
) -> Facts:
    """Read model, machine and data. Raises Refusal for what cannot be read.

    `gpu` names a card, or a size, that the plan is for. With `report` a model or a dataset that is not here is
    downloaded, and told of; without, it is refused.
    """
    machine = machine_facts(runs_root)
    if gpu is not None:
        machine = replace(machine, gpus=(card_named(gpu),), gpu_reason=None, imagined=True)
    if not recipe.model.path:
        raise Refusal(NO_MODEL(), CHOOSE_MODEL(), option="model.path")
    rows = read_rows(recipe, download=report is not None)
    name, revision = recipe.model.path, recipe.model.revision
    if report is not None and locate(name, revision) is None and is_on_the_hub(name):
        fetch(name, revision, report, source=recipe.model.source)
    model = model_facts(name, revision)
    encoder = load_encoder(model.folder, recipe) if model.folder and model.has_tokenizer_json else None
    data = data_facts(rows, encoder, held_out=read_validation(recipe))
    return Facts(model, machine, data, encoder, rows)
