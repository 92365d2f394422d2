"""The trained parameters of a model, as a checkpoint keeps them: by name, each once, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from finetty.backend.training import sharding

FILE = "trained.safetensors"


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """By name, each once: a head that shares the embeddings' weight is not listed again."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Their values, whole where the processes share them; every process has to ask."""
    return {name: sharding.whole(one.detach()).contiguous() for name, one in trained_parameters(model).items()}


def write(values: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Keep them in `folder`. Raises OSError."""
    save_file(dict(values), folder / FILE)


def put_back(model: nn.Module, folder: Path) -> None:
    """Read them from `folder` into the model. Raises ValueError when they are not this model's."""
    put(model, load_file(folder / FILE))


def put(model: nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    """Give the trained parameters these values, whole ones. Raises ValueError when they are not this model's."""
    trained = trained_parameters(model)
    if values.keys() != trained.keys():
        raise ValueError("the checkpoint holds other parameters than this run trains")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(sharding.shared_like(values[name], parameter))
