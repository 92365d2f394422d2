"""output/: the adapter or the model, with the tokenizer and the chat template that was trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from finetty.backend.conversation import Encoder
from finetty.backend.recipe import Recipe
from finetty.backend.training import pissa
from finetty.backend.training.checkpoints import write_folder

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "preprocessor_config.json",
    "processor_config.json",
)


def save_output(
    model: Any,
    output: Path,
    *,
    base: Path,
    recipe: Recipe,
    encoder: Encoder,
    stored: torch.dtype,
    use_cache: Any,
    run: Path,
) -> None:
    """Write the run's result, whole or not at all. Raises OSError.

    `base` is the base model's folder, `stored` its number format and `use_cache` its configuration's value, which the
    Trainer turns off; `run` is the run's folder. A full or freeze result has the base's format; an adapter stays fp32.
    """

    def fill(folder: Path) -> None:
        if recipe.method.name == "lora":
            _save_adapter(model, folder, base, recipe)
            if recipe.method.pissa:
                pissa.written_on_top(folder, run / pissa.FOLDER)
        else:
            if use_cache is not None:
                model.config.use_cache = use_cache
            model.to(stored).save_pretrained(folder)
        save_tokenizer(base, folder, encoder)
        _save_generation(base, folder, encoder)

    write_folder(output, fill)


def save_tokenizer(base: Path, folder: Path, encoder: Encoder) -> None:
    """The base's tokenizer files, byte for byte, with the special tokens and the chat template that were trained."""
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    config_path = folder / "tokenizer_config.json"
    config = json.loads(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
    config |= {**encoder.special, "chat_template": encoder.chat_template}
    config_path.write_text(json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(encoder.chat_template, encoding="utf-8")


def _save_adapter(model: Any, folder: Path, base: Path, recipe: Recipe) -> None:
    config = model.peft_config["default"]
    named_by_folder = Path(recipe.model.path).expanduser().is_dir()
    config.base_model_name_or_path = str(base.absolute()) if named_by_folder else recipe.model.path
    config.revision = recipe.model.revision
    # The embeddings are never trained here; peft's own guess would ask the Hub for the base's configuration.
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)


def _save_generation(base: Path, folder: Path, encoder: Encoder) -> None:
    """generation_config.json with the template's stop tokens, so that an answer ends where it was trained to end."""
    path = base / "generation_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    config["eos_token_id"] = list(encoder.stop_ids)
    config["pad_token_id"] = encoder.pad_id
    (folder / "generation_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
