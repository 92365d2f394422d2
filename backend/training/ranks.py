"""The processes of one run under torchrun: the first writes and hears commands, the others follow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from finetty.backend.machine.host import processes_of_run

PATIENCE = timedelta(days=30)
"""How long the others wait for rank 0, which may be paused."""


@dataclass(frozen=True)
class Ranks:
    """This process among all of the run's; by itself where torchrun did not start it."""

    rank: int = 0
    size: int = 1
    control: Any = None
    """The group in which rank 0 says what to do; gloo, whatever carries the gradients."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        return self.size == 1

    def agreed(self, value: Any) -> Any:
        """Rank 0's value, in every process; all of them have to ask at the same place."""
        if self.alone:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def gathered(self, value: Any) -> list[Any]:
        """Every process's value by its rank, in the first one; the others' list is empty. All of them have to ask."""
        if self.alone:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.size
        dist.gather_object(value, values if self.first else None, dst=0, group=self.control)
        return values if self.first else []

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Each number summed over all processes."""
        if self.alone:
            return list(numbers)
        import torch
        import torch.distributed as dist

        sums = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(sums, group=self.control)
        return [float(one) for one in sums]


def on_this_machine() -> int:
    """This process's place among those of its machine, which is also its card's among the visible ones."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def meet() -> Ranks:
    """Wait for the others of this run. Raises torch's errors when they do not come."""
    if processes_of_run() == 1:
        return Ranks()
    import torch
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    control = dist.new_group(backend="gloo", timeout=PATIENCE)
    return Ranks(dist.get_rank(), dist.get_world_size(), control)


def part() -> None:
    """Leave the group, where there is one."""
    if processes_of_run() > 1:
        import torch.distributed as dist

        if dist.is_initialized():
            dist.destroy_process_group()


def lost_another(error: BaseException) -> bool:
    """Whether this error is what remains of another process: a collective that was not answered."""
    said = f"{type(error).__name__} {error}".lower()
    return any(sign in said for sign in ("gloo", "nccl", "connection closed", "connection reset", "distbackend"))
