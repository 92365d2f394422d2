"""A merged model as transformers, vLLM and llama.cpp read it: sharded weights, configuration, tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetty.backend.messages import Message, message
from finetty.backend.models.weights import INDEX
from finetty.backend.results.merging import Merge, Weight
from finetty.backend.results.source import Source
from finetty.backend.training.checkpoints import failures_as_os_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

WRITING_SHARD = message("results.writing_shard", "writing {file}: {number} of {count}")

TORCH_NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
NOT_COPIED = ("adapter_config.json", "adapter_model.safetensors", "README.md")


def write_merged(
    source: Source,
    result: Path,
    folder: Path,
    *,
    dtype: str | None,
    shard_bytes: int,
    report: Callable[[Message], None],
) -> None:
    """Merge into `folder`. At most one shard of `shard_bytes` and one tensor are in memory. Raises Refusal, OSError."""
    merge = Merge(source, result, dtype)
    shards = _shards(merge.weights, shard_bytes)
    place = {weight.name: file for file, weights in shards.items() for weight in weights}
    for number, (file, tensors) in enumerate(_filled(merge, shards), 1):
        report(WRITING_SHARD(file=file, number=number, count=len(shards)))
        _save(tensors, folder / file)
    if len(shards) > 1:
        total = sum(weight.size for weight in merge.weights)
        _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": place})
    _copy_rest(source, result, folder)
    _write_json(folder / "config.json", _config(merge))


def _shards(weights: list[Weight], most: int) -> dict[str, list[Weight]]:
    """Weights by the name of their file, in order; a tensor larger than a shard has one for itself."""
    groups: list[list[Weight]] = []
    room = 0
    for weight in weights:
        if not groups or weight.size > room:
            groups.append([])
            room = most
        groups[-1].append(weight)
        room -= weight.size
    if len(groups) == 1:
        return {"model.safetensors": groups[0]}
    return {f"model-{number:05d}-of-{len(groups):05d}.safetensors": group for number, group in enumerate(groups, 1)}


def _filled(merge: Merge, shards: dict[str, list[Weight]]) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    tensors = merge.tensors()
    for file, weights in shards.items():
        yield file, dict(next(tensors) for _ in weights)


def _save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    with failures_as_os_errors():
        save_file(tensors, path, metadata={"format": "pt"})


def _copy_rest(source: Source, result: Path, folder: Path) -> None:
    """The result's tokenizer with the trained template; of the base, code that it brings along and was trusted."""
    for path in result.iterdir():
        if path.is_file() and path.name not in NOT_COPIED and not path.name.startswith("model"):
            shutil.copyfile(path, folder / path.name)
    if source.recipe.model.trust_remote_code:
        for path in source.base.glob("*.py"):
            shutil.copyfile(path, folder / path.name)


def _config(merge: Merge) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((merge.folder / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    config["dtype"] = TORCH_NAMES[merge.dtype]
    inner = [config[name] for name in ("text_config", "vision_config", "audio_config") if name in config]
    for part in inner:
        part.pop("torch_dtype", None)
        part.pop("dtype", None)
    if merge.unties:
        for part in (config, *inner):
            part["tie_word_embeddings"] = False
    return config


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
