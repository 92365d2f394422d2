"""What the wizard knows of model, machine and data: read in threads, each part again only when its answer changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetty.backend.messages import Finding, Message, Refusal, message
from finetty.backend.recipe import Recipe

if TYPE_CHECKING:
    from finetty.backend.conversation import Encoder
    from finetty.backend.dataset import Rows
    from finetty.backend.dataset.facts import DataFacts
    from finetty.backend.machine.facts import MachineFacts
    from finetty.backend.models.facts import ModelFacts

BROKEN = message("wizard.broken", "This could not be read: {problem}.")


@dataclass(frozen=True)
class Fault(Finding):
    """A refusal while reading, as an error finding that knows its place: `data.jsonl:7`."""

    place: str = ""


@dataclass(frozen=True)
class ModelRead:
    """A model's facts, or why there are none, for the answer `key`."""

    key: tuple[str, str | None]
    facts: ModelFacts | None = None
    fault: Finding | None = None


@dataclass(frozen=True)
class RowsRead:
    """The rows of the files of the answer `key`."""

    key: Any
    rows: Rows | None = None
    fault: Finding | None = None


@dataclass(frozen=True)
class DataRead:
    """Rows as one model reads them, with one template. `facts` are counted, not measured, where there is no encoder."""

    key: Any
    rows: RowsRead
    encoder: Encoder | None = None
    facts: DataFacts | None = None
    fault: Finding | None = None


@dataclass(frozen=True)
class Known:
    """Everything that is known at this moment."""

    model: ModelRead = ModelRead(("", None))
    data: DataRead = DataRead(None, RowsRead(None))
    machine: MachineFacts | None = None

    @property
    def faults(self) -> tuple[Finding, ...]:
        found = (self.model.fault, self.data.rows.fault, self.data.fault)
        return tuple(fault for fault in found if fault is not None)


def model_key(recipe: Recipe) -> tuple[str, str | None]:
    return (recipe.model.path, recipe.model.revision)


def rows_key(recipe: Recipe) -> tuple[Any, ...]:
    """Changes when an answer about the files changes, or a file itself."""
    validation = recipe.dataset.validation
    files = [(file.model_dump_json(), _stamp(file.path)) for file in recipe.dataset.train]
    own = isinstance(validation, str) and validation != "auto"
    return (tuple(files), (validation, _stamp(str(validation))) if own else None)


def data_key(recipe: Recipe, folder: Path | None) -> tuple[Any, ...]:
    shape = (recipe.template.model_dump_json(), recipe.dataset.cutoff, recipe.dataset.train_on)
    return (rows_key(recipe), folder, shape)


def fetch_model(recipe: Recipe, report: Callable[[Message], None]) -> Fault | None:
    """Download the recipe's model; returns why it failed, if it did. Never raises."""
    try:
        from finetty.backend.models import fetch

        fetch(recipe.model.path, recipe.model.revision, report)
    except Refusal as refusal:
        return as_finding(refusal, "model.path")
    except Exception as error:
        return _broken(error, "model.path")
    return None


def read_model(recipe: Recipe) -> ModelRead:
    """A model's facts from its folder. Never raises."""
    key = model_key(recipe)
    if not recipe.model.path:
        return ModelRead(key)
    try:
        from finetty.backend.models import model_facts

        return ModelRead(key, model_facts(*key))
    except Refusal as refusal:
        return ModelRead(key, fault=as_finding(refusal, "model.path"))
    except Exception as error:  # a stranger's folder: whatever is wrong with it is a sentence, not a crash
        return ModelRead(key, fault=_broken(error, "model.path"))


def read_data(recipe: Recipe, folder: Path | None, before: RowsRead) -> DataRead:
    """Rows, encoder and lengths; `before` is used again while the files are the same. Never raises."""
    key = data_key(recipe, folder)
    rows = before if before.key == key[0] and before.rows else _read_rows(recipe, key[0])
    encoder, fault = _encoder(recipe, folder)
    if rows.rows is None:
        return DataRead(key, rows, encoder, fault=fault)
    try:
        from finetty.backend.dataset import data_facts

        return DataRead(key, rows, encoder, data_facts(rows.rows, encoder), fault)
    except Refusal as refusal:
        return DataRead(key, rows, encoder, fault=as_finding(refusal, "template.name"))
    except Exception as error:
        return DataRead(key, rows, encoder, fault=_broken(error, "template.name"))


def _read_rows(recipe: Recipe, key: Any) -> RowsRead:
    if not recipe.dataset.train:
        return RowsRead(key)
    try:
        from finetty.backend.dataset import read_rows

        return RowsRead(key, read_rows(recipe))
    except Refusal as refusal:
        return RowsRead(key, fault=as_finding(refusal, "dataset.train"))
    except Exception as error:
        return RowsRead(key, fault=_broken(error, "dataset.train"))


def _encoder(recipe: Recipe, folder: Path | None) -> tuple[Encoder | None, Finding | None]:
    if folder is None:
        return None, None
    try:
        from finetty.backend.conversation import load_encoder

        return load_encoder(folder, recipe), None
    except Refusal as refusal:
        return None, as_finding(refusal, "template.name")
    except Exception as error:
        return None, _broken(error, "template.name")


def as_finding(refusal: Refusal, option: str) -> Fault:
    """A refusal as an error finding; `option` is where to mend it when the refusal does not say."""
    place = f"{refusal.path.name}:{refusal.line}" if refusal.path is not None and refusal.line else ""
    return Fault("error", refusal.option or option, refusal.said, refusal.fix, place)


def _broken(error: Exception, option: str) -> Fault:
    return Fault("error", option, BROKEN(problem=f"{type(error).__name__}: {error}"))


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        stat = Path(path).expanduser().stat()
    except (OSError, ValueError):
        return None
    return (stat.st_mtime_ns, stat.st_size)
