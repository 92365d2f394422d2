"""The job by LLaMA-Factory: `llama_factory_side.py JOB-FOLDER OUTPUT [KEY=VALUE ...]`, in its own environment.

Its own choices stay, gradient checkpointing among them; `disable_gradient_checkpointing=true` takes that one away.
"""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path
from typing import Any

os.environ.setdefault("LLAMAFACTORY_VERBOSITY", "ERROR")
from side import finished, read, trainer_arguments


def data_folder(output: Path, job: dict[str, Any]) -> Path:
    """A folder that names both files of rows in its way."""
    folder = output / "data"
    folder.mkdir()
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    named = {
        name: {"file_name": job[name], "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
        for name in ("train", "held_out")
    }
    (folder / "dataset_info.json").write_text(json.dumps(named), encoding="utf-8")
    return folder


def keys_of(job: dict[str, Any], output: Path) -> dict[str, Any]:
    adapter = {"lora_rank": job["rank"], "lora_alpha": job["alpha"], "lora_target": "all"}
    return {
        "stage": "sft",
        "do_train": True,
        "do_eval": True,
        "model_name_or_path": job["model"],
        "finetuning_type": job["method"],
        **(adapter if job["method"] == "lora" else {}),
        "dataset_dir": str(data_folder(output, job)),
        "dataset": "train",
        "eval_dataset": "held_out",
        "template": "chatml",
        "cutoff_len": job["cutoff"],
        **trainer_arguments(job, output),
        "output_dir": str(output / "model"),
    }


def main(folder: Path, output: Path, changed: list[str]) -> None:
    # It reads sound, which no row here holds, and its build on PyPI wants CUDA's libraries.
    import peft  # noqa: F401 - it and transformers ask whether there is a real one
    import transformers  # noqa: F401

    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    from llamafactory.train.tuner import run_exp

    keys = keys_of(read(folder), output) | {
        key: json.loads(value) for key, _, value in (one.partition("=") for one in changed)
    }
    run_exp(keys)
    said = json.loads((output / "model" / "train_results.json").read_text("utf-8"))
    finished(output, said["train_runtime"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
