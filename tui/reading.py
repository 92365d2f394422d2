"""What the wizard knows of model, machine and data: read in threads, each part again only when its answer changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetty.backend.messages import Finding, Message, Refusal, message
from finetty.backend.recipe import DataFile, Recipe

if TYPE_CHECKING:
    from finetty.backend.conversation import Encoder
    from finetty.backend.dataset import Progress, Rows
    from finetty.backend.dataset.columns import Sample
    from finetty.backend.dataset.facts import DataFacts
    from finetty.backend.machine.facts import MachineFacts
    from finetty.backend.models.facts import ModelFacts

    Report = Callable[[Progress], None]


class Stopped(BaseException):
    """Nobody waits for this reading any more. No `except Exception` may take it for a fault of the file."""


BROKEN = message("wizard.broken", "This could not be read: {problem}.")


@dataclass(frozen=True)
class Fault(Finding):
    """A refusal while reading, as an error finding that knows its place: `data.jsonl:7`."""

    place: str = ""
    path: Path | None = None


@dataclass(frozen=True)
class ModelRead:
    """A model's facts, or why there are none, for the answer `key`."""

    key: tuple[str, str | None]
    facts: ModelFacts | None = None
    fault: Finding | None = None
    expected: ModelFacts | None = None
    """What the catalogue says of a model that is not here yet."""
    absent: bool = False
    """Whether it is a name on the Hub whose model is not here; it stays so after a download that failed."""
    download_bytes: int | None = None
    """About how large its files are, where the catalogue knows."""


@dataclass(frozen=True)
class RowsRead:
    """The rows of the files of the answer `key`."""

    key: Any
    rows: Rows | None = None
    fault: Finding | None = None
    held_out: Rows | None = None
    """Those of a validation file, where there is one."""

    @property
    def whole(self) -> bool:
        """Whether every row is there, not only the first ones."""
        return self.rows is not None and self.rows.whole


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
    return (tuple(files), (validation, _stamp(str(validation))) if own else None, recipe.training.seed)


def data_key(recipe: Recipe, folder: Path | None) -> tuple[Any, ...]:
    shape = (recipe.template.model_dump_json(), recipe.dataset.cutoff, recipe.dataset.train_on)
    return (rows_key(recipe), folder, shape)


def fetch_model(recipe: Recipe, report: Callable[[Message], None]) -> Fault | None:
    """Download the recipe's model; returns why it failed, if it did. Never raises."""
    try:
        from finetty.backend.models import fetch

        fetch(recipe.model.path, recipe.model.revision, report, source=recipe.model.source)
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
        return _not_here(key, as_finding(refusal, "model.path"))
    except Exception as error:  # a stranger's folder: whatever is wrong with it is a sentence, not a crash
        return ModelRead(key, fault=_broken(error, "model.path"))


def _not_here(key: tuple[str, str | None], fault: Fault) -> ModelRead:
    """With what the catalogue knows of the model, so that it can be planned for while it comes."""
    from finetty.backend.models.catalogue import entry_named
    from finetty.backend.models.expected import expected_facts
    from finetty.backend.models.folder import NOT_HERE

    if fault.message.id != NOT_HERE.id:
        return ModelRead(key, fault=fault)
    entry = entry_named(key[0])
    size = entry.weight_bytes if entry is not None else None
    return ModelRead(key, fault=fault, expected=expected_facts(key[0]), absent=True, download_bytes=size)


def look_at_rows(recipe: Recipe) -> RowsRead:
    """The first rows of the files, at once however long they are. Never raises."""
    from finetty.backend.dataset import first_look

    return _rows(recipe, lambda: first_look(recipe))


def read_sample(file: DataFile) -> Sample | Fault:
    """The first rows of one file, to say which of its columns is which. Never raises."""
    try:
        from finetty.backend.dataset.columns import sample_of

        return sample_of(file)
    except Refusal as refusal:
        return as_finding(refusal, "dataset.train")
    except Exception as error:
        return _broken(error, "dataset.train")


def read_whole_rows(recipe: Recipe, report: Report) -> RowsRead:
    """Every row. Raises only what `report` raises."""
    from finetty.backend.dataset import read_rows

    return _rows(recipe, lambda: read_rows(recipe, report))


def _rows(recipe: Recipe, read: Callable[[], Rows]) -> RowsRead:
    key = rows_key(recipe)
    if not recipe.dataset.train:
        return RowsRead(key)
    try:
        from finetty.backend.dataset import read_validation

        return RowsRead(key, read(), held_out=read_validation(recipe))
    except Refusal as refusal:
        return RowsRead(key, fault=as_finding(refusal, "dataset.train"))
    except Exception as error:
        return RowsRead(key, fault=_broken(error, "dataset.train"))


def measure_rows(recipe: Recipe, folder: Path | None, rows: RowsRead, report: Report) -> DataRead:
    """The rows as the model reads them; of first rows alone there are no facts. Raises only what `report` raises."""
    key = data_key(recipe, folder)
    encoder, fault = _encoder(recipe, folder)
    if rows.rows is None or not rows.whole:
        return DataRead(key if rows.rows is None else None, rows, encoder, fault=fault)
    try:
        from finetty.backend.dataset import data_facts

        facts = data_facts(rows.rows, encoder, report, held_out=rows.held_out)
        return DataRead(key, rows, encoder, facts, fault)
    except Refusal as refusal:
        return DataRead(key, rows, encoder, fault=as_finding(refusal, "template.name"))
    except Exception as error:
        return DataRead(key, rows, encoder, fault=_broken(error, "template.name"))


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
    return Fault("error", refusal.option or option, refusal.said, refusal.fix, place, refusal.path)


def _broken(error: Exception, option: str) -> Fault:
    return Fault("error", option, BROKEN(problem=f"{type(error).__name__}: {error}"))


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        stat = Path(path).expanduser().stat()
    except (OSError, ValueError, RuntimeError):
        return None
    return (stat.st_mtime_ns, stat.st_size)
