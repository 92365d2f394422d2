"""The same job as a run's, by transformers' Trainer alone: `python -m tests.benchmarks.bare_trainer RUN SKIPPED`.

Prints tokens a second over the steps after the first SKIPPED. Only the rows' tokens and their order are finetty's.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from finetty.backend.conversation import load_encoder
from finetty.backend.dataset import read_rows
from finetty.backend.dataset.order import row_order
from finetty.backend.models import locate
from finetty.backend.planning.plan import Plan
from finetty.backend.runs import Run


class InOrder(Trainer):
    """A Trainer that takes the rows as they come."""

    def _get_train_sampler(self, *_args: Any, **_kwargs: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)


class Clock(TrainerCallback):
    """The time at the end of every step."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
        self.ends.append(time.perf_counter())


def padded(rows: list[dict[str, list[int]]], pad: int) -> dict[str, torch.Tensor]:
    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": pad, "attention_mask": 0, "labels": -100}
    return {
        key: torch.tensor([row[key] + [value] * (width - len(row[key])) for row in rows]) for key, value in fill.items()
    }


def main(path: str, skipped: int) -> None:
    recipe = Plan.from_json(Run.open(Path(path)).plan_document()).recipe
    folder = locate(recipe.model.path, recipe.model.revision)
    assert folder is not None
    encoder = load_encoder(folder, recipe, cutoff=int(recipe.dataset.cutoff))
    encoded = [one for row in read_rows(recipe).rows for one in encoder.encode(row)]
    training, method = recipe.training, recipe.method
    order = row_order([len(one.ids) for one in encoded], int(training.micro_batch), training.seed, 0)
    rows = [
        {
            "input_ids": list(one.ids),
            "attention_mask": [1] * len(one.ids),
            "labels": [token if trained else -100 for token, trained in zip(one.ids, one.trained, strict=True)],
        }
        for one in (encoded[index] for index in order)
    ]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    adapter = LoraConfig(
        task_type="CAUSAL_LM", r=int(method.rank), lora_alpha=float(method.alpha), target_modules="all-linear"
    )
    clock = Clock()
    batch = int(training.micro_batch)
    with tempfile.TemporaryDirectory() as output:
        trainer = InOrder(
            get_peft_model(model, adapter),
            TrainingArguments(
                output_dir=output,
                per_device_train_batch_size=batch,
                gradient_accumulation_steps=max(1, int(training.batch) // batch),
                max_steps=training.max_steps or -1,
                learning_rate=float(training.learning_rate),
                weight_decay=training.weight_decay,
                gradient_checkpointing=bool(training.gradient_checkpointing),
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                remove_unused_columns=False,
                use_cpu=True,
                bf16=False,
                logging_steps=1,
            ),
            data_collator=lambda some: padded(some, encoder.pad_id),
            train_dataset=rows,  # type: ignore[arg-type]
            callbacks=[clock],
        )
        trainer.train()
    rows_a_step = batch * max(1, int(training.batch) // batch)
    counted = rows[skipped * rows_a_step : len(clock.ends) * rows_a_step]
    tokens = sum(len(row["input_ids"]) for row in counted)
    print(tokens / (clock.ends[-1] - clock.ends[skipped - 1]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
