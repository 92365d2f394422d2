"""Where models are on this machine: a folder, finetty's own cache, the Hugging Face cache."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from finetty.backend.messages import Refusal, message
from finetty.backend.settings import own_cache

STRANGE_NAME = message("models.strange_name", "{path} is neither a folder here nor a name that the Hub can have.")
NAME_SHAPE = message("models.name_shape", "A name on the Hub looks like Qwen/Qwen3-0.6B.")

DEMO_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
PROOF = "finetty.json"
"""Written last into a folder of finetty's cache; a folder without it is not whole."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)


@dataclass(frozen=True)
class LocalModel:
    """A model that is already here: its name for a recipe, its folder, and its size in bytes."""

    path: str
    folder: Path
    size: int


def cache_folder() -> Path:
    """Where finetty keeps models that it prepared itself."""
    return own_cache() / "models"


def hub_cache() -> Path:
    """The Hugging Face cache, found as huggingface_hub finds it, without the 0.3 s of importing it."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(named).expanduser() if named else hub_home() / "hub"


def hub_home() -> Path:
    """The folder of all that huggingface_hub keeps."""
    # Not by cache_root(): huggingface_hub takes a relative $XDG_CACHE_HOME as well.
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser()


def is_folder_name(path: str) -> bool:
    """Whether a person who writes this means a folder, though it may not be there."""
    return path.startswith((".", "~", os.sep)) or path.count("/") > 1 or _exists(path)


def _exists(path: str) -> bool:
    return os.path.exists(os.path.expanduser(path))  # noqa: PTH110, PTH111 - those of Path raise for a long name


def check_name(path: str) -> None:
    """Raises Refusal unless the Hub could have a model of this name."""
    if not _is_hub_name(path):
        raise Refusal(STRANGE_NAME(path=path[:200]), NAME_SHAPE(), option="model.path")


def _is_hub_name(path: str) -> bool:
    return bool(_HUB_NAME.fullmatch(path)) and ".." not in path and "--" not in path


def locate(path: str, revision: str | None = None) -> Path | None:
    """The model's folder on this machine, or None: nothing is downloaded."""
    if not path:
        return None
    try:
        folder = Path(path).expanduser()
        if folder.is_dir():
            return folder.resolve()
    except (OSError, ValueError, RuntimeError):
        return None
    if not _is_hub_name(path):
        return None
    return _in_hub_cache(path, revision) or _in_own_cache(path, revision)


def own_folder(path: str, revision: str | None = None) -> Path:
    """The folder in finetty's cache for a name on the Hub, and a revision of it."""
    at = f"@{revision.replace('/', '--')}" if revision else ""
    return cache_folder() / (path.replace("/", "--") + at)


def _in_own_cache(path: str, revision: str | None) -> Path | None:
    if revision and not _is_hub_name(revision.replace("/", "-")):
        return None
    folder = own_folder(path, revision)
    return folder if (folder / PROOF).is_file() else None


def _in_hub_cache(path: str, revision: str | None) -> Path | None:
    """The snapshot that a revision, or the branch `main`, points to; whole only if its weights are there."""
    repository = hub_cache() / f"models--{path.replace('/', '--')}"
    wanted = revision or "main"
    if not _is_hub_name(wanted.replace("/", "-")):
        return None
    reference = repository / "refs" / wanted
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else wanted
    snapshot = repository / "snapshots" / commit
    whole = (snapshot / "config.json").is_file() and next(snapshot.glob("*.safetensors"), None) is not None
    return snapshot if whole and Path(commit).name == commit else None


def local_models() -> list[LocalModel]:
    """Models that can be tuned without a download, newest first."""
    found = [*_hub_models(), *_own_models()]
    return sorted(found, key=lambda model: model.folder.stat().st_mtime, reverse=True)


def _own_models() -> list[LocalModel]:
    folders = [proof for proof in cache_folder().glob(f"*/{PROOF}") if "@" not in proof.parent.name]
    return [LocalModel(proof.parent.name.replace("--", "/", 1), proof.parent, _size(proof.parent)) for proof in folders]


def _hub_models() -> list[LocalModel]:
    models = []
    for repository in hub_cache().glob("models--*"):
        name = repository.name.removeprefix("models--").replace("--", "/", 1)
        folder = _in_hub_cache(name, None) if _is_hub_name(name) else None
        if folder is not None:
            models.append(LocalModel(name, folder, _size(folder)))
    return models


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
