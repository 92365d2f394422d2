"""FSDP: every process holds a share of each tensor. Here they are gathered, and shared out again."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.tensor import DTensor, distribute_tensor


def on_processor(accelerator: Any, plugin: dict[str, Any]) -> None:
    """Have accelerate share the model out where the processes have no cards."""
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(**plugin)


def whole(value: Any) -> Any:
    """The tensors in `value`, which may be nested in dicts and lists, gathered; shared ones come to the CPU.

    Every process has to ask. What is not shared is returned as it is.
    """
    if isinstance(value, DTensor):
        return value.full_tensor().cpu()
    if isinstance(value, dict):
        return {key: whole(one) for key, one in value.items()}
    return [whole(one) for one in value] if isinstance(value, list) else value


def shared_like(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """The whole `tensor` as `parameter` is shared, where it is. Every process has to ask."""
    if not isinstance(parameter, DTensor):
        return tensor
    on_device = tensor.to(parameter.device_mesh.device_type)
    return distribute_tensor(on_device, parameter.device_mesh, parameter.placements)


def share_states(states: dict[str, Any], optimizer: Any) -> None:
    """An optimizer's whole state dict, changed so that those of a shared parameter are shared as it is."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for number, parameter in enumerate(parameters):
        own = states["state"].get(number, {})
        own.update({name: shared_like(one, parameter) for name, one in own.items() if _of(one, parameter)})


def _of(state: Any, parameter: torch.Tensor) -> bool:
    """Whether it is a state with a number for each of the parameter's, and no count of steps."""
    return isinstance(state, torch.Tensor) and state.shape == parameter.shape
