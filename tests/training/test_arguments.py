"""What the installed transformers is told, and how many steps come of it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer, TrainingArguments

from finetty.backend.recipe import Recipe, options
from finetty.backend.training.arguments import (
    OPTIMIZERS,
    SCHEDULERS,
    arguments,
    schedule,
    training_arguments,
    warmup_steps,
)
from finetty.backend.training.load import ATTENTION, DTYPES

from .conftest import resolved_recipe


def recipe(**changed: Any) -> Recipe:
    return resolved_recipe(Path("model"), Path("data.jsonl"), **changed)


def test_fsdp_is_the_trainers_own_in_its_second_version(tmp_path: Path) -> None:
    shared = recipe(**{"hardware.fsdp": True})
    built = training_arguments(shared, tmp_path, schedule(shared, 100), on_cpu=True)
    assert built.fsdp is True
    assert built.fsdp_plugin_args["fsdp_version"] == 2
    alone = recipe()
    assert training_arguments(alone, tmp_path, schedule(alone, 100), on_cpu=True).fsdp_plugin_args is None


@pytest.mark.parametrize(
    ("optimizer", "scheduler", "compute"), itertools.product(OPTIMIZERS, SCHEDULERS, ("fp32", "bf16"))
)
def test_every_argument_is_known_to_the_installed_version(
    tmp_path: Path, optimizer: str, scheduler: str, compute: str
) -> None:
    wanted = recipe(**{"training.optimizer": optimizer, "training.scheduler": scheduler, "precision.compute": compute})
    built = training_arguments(wanted, tmp_path, schedule(wanted, 100), on_cpu=True)
    assert built.bf16 is (compute == "bf16")
    assert built.fp16 is False
    assert built.report_to == []


def test_fp16_scales_its_loss(tmp_path: Path) -> None:
    wanted = recipe(**{"precision.compute": "fp16"})
    assert arguments(wanted, tmp_path, schedule(wanted, 100), on_cpu=False)["fp16"] is True


def test_every_choice_of_the_recipe_has_its_name_in_the_library() -> None:
    def choices(name: str) -> set[str]:
        return set(options()[name].choices) - {"auto"}

    assert choices("training.optimizer") == OPTIMIZERS.keys()
    assert choices("training.scheduler") == SCHEDULERS.keys()
    assert choices("acceleration.attention") == ATTENTION.keys()
    assert choices("precision.compute") == DTYPES.keys()


def test_what_the_recipe_says_arrives(tmp_path: Path) -> None:
    wanted = recipe(
        **{
            "training.learning_rate": 3e-4,
            "training.weight_decay": 0.1,
            "training.max_grad_norm": 0.3,
            "training.seed": 7,
            "training.micro_batch": 3,
            "training.batch": 12,
            "training.gradient_checkpointing": True,
            "acceleration.liger": True,
        }
    )
    said = arguments(wanted, tmp_path, schedule(wanted, 100), on_cpu=True)
    assert (said["learning_rate"], said["weight_decay"], said["max_grad_norm"], said["seed"]) == (3e-4, 0.1, 0.3, 7)
    assert (said["per_device_train_batch_size"], said["gradient_accumulation_steps"]) == (3, 4)
    assert (said["gradient_checkpointing"], said["use_liger_kernel"]) == (True, True)


@pytest.mark.parametrize("rows", [1, 2, 7, 31, 32, 33, 100])
@pytest.mark.parametrize(("micro_batch", "batch"), [(1, 4), (2, 4), (4, 4), (3, 12)])
@pytest.mark.parametrize("epochs", [1.0, 2.5, 0.3])
def test_steps_are_counted_as_the_trainer_counts_them(rows: int, micro_batch: int, batch: int, epochs: float) -> None:
    planned = schedule(
        recipe(**{"training.micro_batch": micro_batch, "training.batch": batch, "training.epochs": epochs}), rows
    )
    args = TrainingArguments(
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=batch // micro_batch,
        num_train_epochs=epochs,
        use_cpu=True,
    )
    batches = range(-(-rows // micro_batch))
    counted = Trainer.set_initial_training_values(_Counter(rows), args, batches)
    assert (planned.steps_an_epoch, planned.steps) == (counted[1], counted[-1])


@pytest.mark.parametrize(("warmup", "steps"), [(0, 0), (5, 5), (0.05, 5), (0.051, 6), (0.0, 0)])
def test_warm_up_in_steps_or_as_a_share(warmup: float, steps: int) -> None:
    wanted = recipe(**{"training.warmup": warmup, "training.max_steps": 100})
    assert warmup_steps(wanted, schedule(wanted, 1000)) == steps


class _Counter:
    """What the Trainer's own count asks of itself."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def num_examples(self, _: Any) -> int:
        return self._rows

    def get_total_train_batch_size(self, args: TrainingArguments) -> int:
        return args.per_device_train_batch_size * args.gradient_accumulation_steps

    def get_sp_size(self) -> int:
        return 1
