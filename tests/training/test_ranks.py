"""What the processes of one run tell each other where nothing else can."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetty.backend.recipe import Recipe
from finetty.backend.training import ranks
from finetty.backend.training.arguments import schedule

from .conftest import resolved_recipe


def recipe(micro_batch: int, batch: int) -> Recipe:
    values = {"training.micro_batch": micro_batch, "training.batch": batch}
    return resolved_recipe(Path("model"), Path("data.jsonl"), **values)


def test_alone_everything_is_agreed() -> None:
    alone = ranks.Ranks()
    assert alone.first and alone.alone
    assert alone.agreed({"ending": "stop"}) == {"ending": "stop"}
    assert alone.total([1.5, 2]) == [1.5, 2]


def test_a_step_of_several_processes_is_that_of_one() -> None:
    one, two = schedule(recipe(2, 8), 32), schedule(recipe(2, 8), 32, 2)
    assert (one.steps, one.accumulation, one.micro_batch) == (8, 4, 2)
    assert (two.steps, two.accumulation, two.micro_batch) == (8, 2, 2)


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ("[../third_party/gloo/gloo/transport/tcp/pair.cc:537] Connection closed by peer [127.0.0.1]:4711", True),
        ("NCCL communicator was aborted on rank 0.", True),
        ("shape '[2, 3]' is invalid for input of size 5", False),
    ],
)
def test_a_collective_that_was_not_answered(said: str, lost: bool) -> None:
    assert ranks.lost_another(RuntimeError(said)) is lost
