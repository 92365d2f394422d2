"""PiSSA (Meng et al. 2024): an adapter that begins as the largest directions of the weights beside it.

What the adapter takes over is taken out of the base. The beginning is kept in a folder, for two reasons: a run that is
resumed has to take the same out of the base again, and a result has to load on the plain base, so it is written as what
was learned on top: an adapter of twice the rank.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from finetty.backend.training.checkpoints import write_folder

NAME, WEIGHTS = "default", "adapter_model.safetensors"
FOLDER = "initial"
"""In the run's folder."""
METHOD = "pissa_niter_16"
"""By peft's name: a fast decomposition in sixteen rounds; an exact one takes minutes for a 7B model."""


def begin(model: Any, folder: Path) -> None:
    """Make the adapter's beginning, or put back that of `folder`. Raises OSError."""
    if folder.is_dir():
        _put_back(model, folder)
        return
    for layer in _layers(model):
        layer.pissa_init(NAME, METHOD)
    write_folder(folder, lambda beside: model.save_pretrained(beside, save_embedding_layers=False))


def written_on_top(adapter: Path, beginning: Path) -> None:
    """Turn a saved adapter into what it learned beside its beginning: BA - B0A0, for the plain base. Raises OSError."""
    learned, first = (load_file(folder / WEIGHTS) for folder in (adapter, beginning))
    both = {name: _joined(name, one, first[name]).contiguous() for name, one in learned.items()}
    save_file(both, adapter / WEIGHTS, metadata={"format": "pt"})
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["r"] *= 2
    config["lora_alpha"] *= math.sqrt(2) if config["use_rslora"] else 2  # the scale stays
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def _joined(name: str, learned: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    return torch.cat([learned, -first], dim=1) if ".lora_B." in name else torch.cat([learned, first])


def _put_back(model: Any, folder: Path) -> None:
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(model, load_file(folder / WEIGHTS))
    with torch.no_grad():
        for layer in _layers(model):
            weight = layer.get_base_layer().weight
            weight.data = (weight.data.float() - layer.get_delta_weight(NAME)).to(weight.dtype)


def _layers(model: Any) -> Iterator[Any]:
    from peft.tuners.lora import LoraLayer

    return (module for module in model.modules() if isinstance(module, LoraLayer))
