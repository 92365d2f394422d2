"""A folder that was exported, talked to as another program would load it: a merged model, or an adapter on its base."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from finetty.backend.conversation import load_encoder
from finetty.backend.folders import state_root
from finetty.backend.messages import Refusal, message
from finetty.backend.models import ModelFacts, locate, model_facts
from finetty.backend.recipe import Recipe, with_values
from finetty.backend.results.adapter import ADAPTER_FILES
from finetty.backend.results.speaker import Speaker
from finetty.backend.runs import Run

NO_FOLDER = message("results.no_exported_folder", "There is no folder {folder}.")
NEITHER = message(
    "results.neither",
    "{folder} is neither a merged model nor an adapter: no config.json or adapter_config.json is there.",
)
NAME_ONE = message(
    "results.name_one", "Name a run, or a folder made by `finetty export` with --to merged or --to adapter."
)
BROKEN_ADAPTER = message("results.broken_adapter", "The adapter in {folder} cannot be used: {reason}.")
EXPORT_AGAIN = message("results.export_again", "Export it again with `finetty export RUN DIR --to adapter`.")
BASE_GONE = message("results.base_gone", "The base {base} of the adapter in {folder} is not on this machine.")
BRING_BASE = message(
    "results.bring_base",
    "Put the base where base_model_name_or_path in adapter_config.json says, or export the run with --to merged.",
)
NO_BASE = message("results.no_base", "A merged model has no base beside it: only the tuned side can be asked.")
TOO_LARGE = message(
    "results.too_large_to_talk", "The model takes {needed:size} to answer, and {free:size} are free here."
)
FREE_SOME = message("results.free_some", "Free some memory, or talk to the run with its base in 4 bits.")

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
NAMES = {"bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class Exported:
    """A folder with a model to talk to. Made by `exported_at`, which checks that."""

    path: Path
    base: Path | None
    """Of an adapter; None for a merged model."""

    @property
    def id(self) -> str:
        return self.path.name

    @cached_property
    def facts(self) -> ModelFacts:
        """Of the model that is loaded. Raises Refusal: not a model, not safetensors."""
        return model_facts(str(self.base or self.path))


Talked = Run | Exported


def exported_at(folder: Path) -> Exported:
    """Raises Refusal: nothing that was exported, or an adapter without its base."""
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise Refusal(NO_FOLDER(folder=folder), NAME_ONE())
    found = Exported(folder, _base(folder) if (folder / ADAPTER_FILES[0]).is_file() else None)
    if found.base is None and not (folder / "config.json").is_file():
        raise Refusal(NEITHER(folder=folder), NAME_ONE())
    assert found.facts
    return found


def talked_at(path: Path) -> Talked:
    """The run or the exported model in this folder. Raises Refusal."""
    return Run.open(path) if (path / "plan.json").is_file() else exported_at(path)


def has_base(talked: Talked) -> bool:
    return isinstance(talked, Run) or talked.base is not None


def transcripts_of(talked: Talked) -> Path:
    """Where conversations are kept: never inside an export, which is handed on."""
    if isinstance(talked, Run):
        return talked.path / "transcripts"
    return state_root() / "finetty" / "transcripts" / talked.id


def speaker_of(talked: Talked) -> Speaker:
    """Loads the model. Raises Refusal."""
    from finetty.backend.results.answers import Chat

    return Chat(talked) if isinstance(talked, Run) else ExportedChat(talked)


class ExportedChat(Speaker):
    """The exported model in memory, an adapter's base behind its switch."""

    def __init__(self, exported: Exported) -> None:
        """Raises Refusal."""
        self.exported = exported
        has_tokenizer = (exported.path / "tokenizer.json").is_file() or exported.base is None
        self.encoder = load_encoder(exported.path if has_tokenizer else exported.base or exported.path, Recipe())
        self._model: Any = _loaded(exported)

    def model(self, *, base: bool) -> tuple[Any, AbstractContextManager[Any]]:
        if not base:
            return self._model, nullcontext()
        if self.exported.base is None:
            raise Refusal(NO_BASE())
        return self._model, self._model.disable_adapter()


def _base(folder: Path) -> Path:
    """The folder of the model that the adapter changes."""
    try:
        named = str(json.loads((folder / ADAPTER_FILES[0]).read_text("utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(
            BROKEN_ADAPTER(folder=folder, reason=f"{type(error).__name__}: {error}"), EXPORT_AGAIN()
        ) from None
    if not (folder / ADAPTER_FILES[1]).is_file():
        raise Refusal(BROKEN_ADAPTER(folder=folder, reason=f"{ADAPTER_FILES[1]} is missing"), EXPORT_AGAIN())
    base = locate(named)
    if base is None:
        raise Refusal(BASE_GONE(base=named, folder=folder), BRING_BASE())
    return base


def _loaded(exported: Exported) -> Any:
    from torch import cuda

    from finetty.backend.training.load import load_model

    on_cpu = not cuda.is_available()
    wanted = {"precision.compute": _format(exported.facts, on_cpu=on_cpu), "precision.quantization": "none"}
    recipe = with_values(Recipe(), wanted | {"acceleration.attention": "sdpa"})
    model = load_model(exported.base or exported.path, recipe, on_cpu=on_cpu, to_train=False).eval()
    if exported.base is None:
        return model
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(exported.path)).eval()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise Refusal(BROKEN_ADAPTER(folder=exported.path, reason=reason), EXPORT_AGAIN()) from error


def _format(facts: ModelFacts, *, on_cpu: bool) -> str:
    """As the weights are stored; on a CPU fp32, in which it computes best, where that goes into the memory."""
    stored, free = NAMES.get(facts.stored_dtype or "", "fp32"), psutil.virtual_memory().available
    parameters = facts.parameters or 0
    if not on_cpu:
        return stored
    if BYTES[stored] * parameters > free:
        raise Refusal(TOO_LARGE(needed=BYTES[stored] * parameters, free=free), FREE_SOME())
    return "fp32" if BYTES["fp32"] * parameters * 1.2 < free else stored
