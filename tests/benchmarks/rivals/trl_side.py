"""The job by TRL's SFTTrainer with its defaults: `trl_side.py JOB-FOLDER OUTPUT`, in TRL's environment.

Its own choices stay (gradient checkpointing among them); only bf16, which this processor is slow at, is off.
"""

from __future__ import annotations

import sys
from pathlib import Path

from datasets import Dataset
from side import adapter_arguments, learn, read, rows_of, trainer_arguments
from trl import SFTConfig, SFTTrainer


def prompts(path: str) -> Dataset:
    """In the form in which it learns the answers alone."""
    return Dataset.from_list([{"prompt": turns[:1], "completion": turns[1:]} for turns in rows_of(path)])


def main(folder: Path, output: Path) -> None:
    job = read(folder)
    adapter = None
    if job["method"] == "lora":
        from peft import LoraConfig

        adapter = LoraConfig(**adapter_arguments(job))
    trainer = SFTTrainer(
        job["model"],
        args=SFTConfig(**trainer_arguments(job, output), disable_tqdm=True, max_length=job["cutoff"], bf16=False),
        train_dataset=prompts(job["train"]),
        eval_dataset=prompts(job["held_out"]),
        peft_config=adapter,
    )
    learn(trainer, output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
