"""Other weights put in the place of a model's own, so that a run's two sides take the memory of one.

An adapter needs none of this: it is switched off and on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open


def put_weights(model: Any, folder: Path) -> bool:
    """Copy the weights of a model's folder into a model of the same shape, in the model's own number format.

    The files are memory-mapped, so that no second copy is made. False, with nothing copied, where they call the
    weights otherwise than the model does (a family whose files are converted while they are loaded).
    """
    parameters = dict(model.named_parameters())
    files = sorted(folder.glob("*.safetensors"))
    stored: set[str] = set()
    for path in files:
        with safe_open(path, "pt") as file:
            stored.update(file.keys())
    if not parameters.keys() <= stored:
        return False
    with torch.no_grad():
        for path in files:
            with safe_open(path, "pt") as file:
                for name in parameters.keys() & set(file.keys()):
                    parameters[name].copy_(file.get_tensor(name))
    return True
