"""What to type next with an export: copy it, serve it; and what the serving program does not take."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from finetty.backend.messages import Message, message

COPY = message("results.onward_copy", "copy it:     {command}")
SERVE = message("results.onward_serve", "serve it:    {command}")
CREATE = message("results.onward_create", "register it: {command}")
ASK = message("results.onward_ask", "ask it:      {command}")
NO_DORA = message(
    "results.no_dora", "vLLM does not take an adapter that was trained with DoRA: export --to merged for it."
)
NO_EMBEDDINGS = message(
    "results.no_embeddings", "vLLM does not take an adapter with trained embeddings or head: export --to merged for it."
)
RANK_TOO_HIGH = message(
    "results.rank_too_high", "vLLM takes adapters up to rank {most}, and this one has {rank}: export --to merged."
)
DOES_NOT_FIND = message(
    "results.does_not_find", "On another machine, put the base model's folder in the place of {folder}."
)

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM's --max-lora-rank takes (vllm/config/lora.py, MaxLoRARanks)."""


def next_lines(form: str, folder: Path, name: str) -> list[Message]:
    """The commands that go on from an export; `name` is what the model is to be called."""
    quoted = shlex.quote(str(folder))
    lines = [COPY(command=f"scp -r {quoted} HOST:")]
    if form == "adapter":
        return lines + _adapter_lines(folder, name)
    if form == "merged":
        return [*lines, SERVE(command=f"vllm serve {quoted} --served-model-name {name}")]
    if form == "ollama":
        create = f"cd {quoted} && ollama create {name} -f Modelfile"
        return [*lines, CREATE(command=create), ASK(command=f"ollama run {name}")]
    model = next(folder.glob("*.gguf"))
    return [*lines, SERVE(command=f"llama-server -m {shlex.quote(str(model))} --jinja")]


def _adapter_lines(folder: Path, name: str) -> list[Message]:
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    base, rank = str(config["base_model_name_or_path"]), int(config["r"])
    if config.get("use_dora"):
        return [NO_DORA()]
    if config.get("modules_to_save"):
        return [NO_EMBEDDINGS()]
    served = next((one for one in VLLM_RANKS if one >= rank), None)
    if served is None:
        return [RANK_TOO_HIGH(most=VLLM_RANKS[-1], rank=rank)]
    module = shlex.quote(f"{name}={folder}")
    command = f"vllm serve {shlex.quote(base)} --enable-lora --lora-modules {module} --max-lora-rank {served}"
    lines = [SERVE(command=command)]
    return [*lines, DOES_NOT_FIND(folder=base)] if Path(base).is_dir() else lines
