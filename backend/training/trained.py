"""The trained parameters of a model, as a checkpoint keeps them: by name, each once, bit for bit."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

FILE = "trained.safetensors"


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """By name, each once: a head that shares the embeddings' weight is not listed again."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def keep(model: nn.Module, folder: Path) -> None:
    """Write them into `folder`. Raises OSError."""
    tensors = {name: one.detach().contiguous() for name, one in trained_parameters(model).items()}
    save_file(tensors, folder / FILE)


def put_back(model: nn.Module, folder: Path) -> None:
    """Read them from `folder` into the model. Raises ValueError when they are not this model's."""
    saved = load_file(folder / FILE)
    trained = trained_parameters(model)
    if saved.keys() != trained.keys():
        raise ValueError("the checkpoint holds other parameters than this run trains")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(saved[name])
