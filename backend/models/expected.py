"""What is known of a catalogue's model before its download: the facts that its published dimensions make."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from finetty.backend.messages import Refusal
from finetty.backend.models.catalogue import Entry, entry_named
from finetty.backend.models.facts import ModelFacts
from finetty.backend.models.folder import model_facts


@lru_cache(maxsize=1024)
def expected_facts(name: str) -> ModelFacts | None:
    """The facts that the model's folder will have; None where its family or its dimensions are not known.

    A config.json of the dimensions goes through the same door as a downloaded one. The towers of a model that sees or
    hears are not counted.
    """
    entry = entry_named(name)
    if entry is None or entry.family is None or entry.layers is None:
        return None
    facts = _read(entry)
    if facts is None or facts.parameters is None:
        return None
    own_name = entry.name.rsplit("/", 1)[-1]
    return replace(facts, path=entry.name, name=own_name, folder=None, tags=entry.tags)


def _configuration(entry: Entry) -> dict[str, Any]:
    if entry.quantization is None:
        return entry.configuration()
    return {**entry.configuration(), "quantization_config": {"quant_method": entry.quantization}}


def _read(entry: Entry) -> ModelFacts | None:
    with TemporaryDirectory(prefix="finetty-") as folder:
        (Path(folder) / "config.json").write_text(json.dumps(_configuration(entry)), encoding="utf-8")
        try:
            return model_facts(folder)
        except Refusal:
            return None
