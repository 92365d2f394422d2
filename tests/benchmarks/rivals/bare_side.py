"""The job by transformers' Trainer alone: `bare_side.py JOB-FOLDER OUTPUT`, in finetty's environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from side import adapter_arguments, learn, read, rows_of, trainer_arguments
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments


def encoded(tokenizer: Any, turns: list[dict[str, str]]) -> dict[str, list[int]]:
    """The row's tokens; learned is what follows the question."""
    question = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
    ids = tokenizer.apply_chat_template(turns, return_dict=False)
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [-100] * len(question) + ids[len(question) :]}


def main(folder: Path, output: Path) -> None:
    job = read(folder)
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    if job["method"] == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(**adapter_arguments(job)))
    trainer = Trainer(
        model,
        TrainingArguments(**trainer_arguments(job, output), disable_tqdm=True, logging_steps=10),
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        train_dataset=[encoded(tokenizer, turns) for turns in rows_of(job["train"])],
        eval_dataset=[encoded(tokenizer, turns) for turns in rows_of(job["held_out"])],
    )
    learn(trainer, output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
