"""The run's own result as a folder: output/ where it is there, else made from the last checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from finetty.backend.results.source import Source

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


@contextmanager
def result_folder(source: Source, beside: Path) -> Iterator[Path]:
    """A folder with the result, there for the block; `beside` is on a disk with room for one made from a checkpoint."""
    if source.run.output.is_dir():
        yield source.run.output
        return
    with TemporaryDirectory(prefix=".result-", dir=beside) as made:
        _save_checkpoint(source, Path(made) / "output")
        yield Path(made) / "output"


def write_adapter(source: Source, result: Path, folder: Path) -> None:
    """peft's own form, the tokenizer and the trained chat template; a base in a folder is named as others know it."""
    shutil.copytree(result, folder, dirs_exist_ok=True)
    path = folder / ADAPTER_FILES[0]
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base_reference(source)
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2, sort_keys=True), encoding="utf-8")


def base_reference(source: Source) -> str:
    """What loads the base here: its name on the Hub, or its folder."""
    path = source.recipe.model.path
    return str(source.base) if Path(path).expanduser().is_dir() else path


def _save_checkpoint(source: Source, output: Path) -> None:
    from finetty.backend.results.answers import model_from_checkpoint
    from finetty.backend.training.load import stored_dtype
    from finetty.backend.training.save import save_output

    model = model_from_checkpoint(source)
    save_output(
        model,
        output,
        base=source.base,
        recipe=source.recipe,
        encoder=source.encoder,
        stored=stored_dtype(model.config),
        use_cache=getattr(model.config, "use_cache", None),
        run=source.run.path,
    )
