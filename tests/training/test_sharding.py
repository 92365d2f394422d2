"""Tensors that processes share are gathered whole and shared out again, here by a process alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from finetty.backend.training import sharding


@pytest.fixture
def parameter(tmp_path: Path) -> Iterator[torch.Tensor]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield torch.nn.Parameter(
        distribute_tensor(torch.arange(12.0).reshape(4, 3), init_device_mesh("cpu", (1,)), [Shard(0)])
    )
    dist.destroy_process_group()


def test_shared_out_and_gathered(parameter: torch.Tensor) -> None:
    values = torch.randn(4, 3)
    shared = sharding.shared_like(values, parameter)
    assert isinstance(shared, DTensor)
    gathered = sharding.whole({"state": [shared, 3]})
    assert type(gathered["state"][0]) is torch.Tensor
    assert torch.equal(gathered["state"][0], values)
    assert gathered["state"][1] == 3


def test_what_is_not_shared_is_left_alone() -> None:
    tensor = torch.randn(2)
    assert sharding.whole(tensor) is tensor
    assert sharding.shared_like(tensor, torch.nn.Parameter(torch.zeros(2))) is tensor


def test_an_optimizers_states_are_shared_as_its_parameters(parameter: torch.Tensor) -> None:
    before = torch.optim.AdamW([parameter])
    parameter.grad = torch.ones_like(parameter)
    before.step()
    saved = sharding.whole(before.state_dict())
    assert type(saved["state"][0]["exp_avg"]) is torch.Tensor
    sharding.share_states(saved, before)
    after = torch.optim.AdamW([parameter])
    after.load_state_dict(saved)
    own, other = before.state[parameter], after.state[parameter]
    assert isinstance(other["exp_avg"], DTensor)
    assert torch.equal(other["exp_avg"].full_tensor(), own["exp_avg"].full_tensor())
    assert torch.equal(other["step"], own["step"])
