"""Activations kept in RAM between the forward and the backward pass, instead of on the card."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

SMALLEST = 1 << 20
"""Bytes below which a tensor stays: the way there and back would cost more than it saves."""

Kept = tuple[torch.device | None, torch.Tensor]


def offloading(
    parameters: Iterable[torch.Tensor], *, wanted: Callable[[torch.Tensor], bool] = lambda one: one.is_cuda
) -> Any:
    """A context for the forward pass. Weights are on the card for the whole run anyway, and stay there.

    `wanted` says which tensors are on a device worth freeing.
    """
    weights = {one.untyped_storage().data_ptr() for one in parameters}

    def pack(tensor: torch.Tensor) -> Kept:
        stays = tensor.nbytes < SMALLEST or not wanted(tensor) or tensor.untyped_storage().data_ptr() in weights
        if stays:
            return None, tensor
        in_ram = torch.empty(tensor.size(), dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        in_ram.copy_(tensor, non_blocking=tensor.is_cuda)
        return tensor.device, in_ram

    def unpack(kept: Kept) -> torch.Tensor:
        device, tensor = kept
        return tensor if device is None else tensor.to(device, non_blocking=True)

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)
