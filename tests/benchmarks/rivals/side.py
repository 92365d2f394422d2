"""What every side reads and writes; without anything that another environment may not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read(folder: Path) -> dict[str, Any]:
    job: dict[str, Any] = json.loads((folder / "job.json").read_text("utf-8"))
    return job


def rows_of(path: str) -> list[list[dict[str, str]]]:
    """Each row's turns."""
    return [json.loads(line)["messages"] for line in Path(path).read_text("utf-8").splitlines()]


def trainer_arguments(job: dict[str, Any], output: Path) -> dict[str, Any]:
    """The job in the words of transformers' TrainingArguments, which TRL's and LLaMA-Factory's are built on."""
    return {
        "output_dir": str(output / "trainer"),
        "per_device_train_batch_size": job["micro_batch"],
        "per_device_eval_batch_size": job["micro_batch"],
        "gradient_accumulation_steps": job["batch"] // job["micro_batch"],
        "num_train_epochs": job["epochs"],
        "learning_rate": job["learning_rate"],
        "weight_decay": job["weight_decay"],
        "max_grad_norm": job["max_grad_norm"],
        "warmup_steps": job["warmup_steps"],
        "lr_scheduler_type": "cosine",
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "seed": job["seed"],
    }


def adapter_arguments(job: dict[str, Any]) -> dict[str, Any]:
    """The job's adapter in the words of peft's LoraConfig."""
    return {
        "task_type": "CAUSAL_LM",
        "r": job["rank"],
        "lora_alpha": job["alpha"],
        "target_modules": "all-linear",
    }


def finished(output: Path, seconds: float) -> None:
    """Write down how long the training itself took, from its first step to its last."""
    (output / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")


def learn(trainer: Any, output: Path) -> None:
    """Train, measure the held-out rows, and save the model."""
    trained = trainer.train()
    trainer.evaluate()
    trainer.save_model(str(output / "model"))
    finished(output, trained.metrics["train_runtime"])
