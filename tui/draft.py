"""The answers given so far: a recipe that is saved at every change, and the texts that do not fit into one yet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetty.backend.folders import state_root
from finetty.backend.messages import Finding, Refusal
from finetty.backend.recipe import (
    DataFile,
    Recipe,
    anchored,
    dump_recipe,
    load_recipe,
    option_named,
    value_of,
    with_values,
)


def draft_path(name: str = "draft") -> Path:
    """Where unfinished answers are kept: beside the runs, in the user's state folder."""
    return state_root() / "finetty" / f"{name}.yaml"


class Draft:
    """A recipe in the making; what was typed but is no value yet stays in `typed`, and what is wrong in `faults`."""

    def __init__(self, recipe: Recipe | None = None, path: Path | None = None) -> None:
        self.recipe = recipe or Recipe()
        self.path = path
        self.typed: dict[str, str] = {}
        self.faults: dict[str, Finding] = {}
        self._before: Recipe | None = None

    @classmethod
    def kept(cls, path: Path) -> Draft:
        """The draft of an earlier session, or an empty one where there is none that can be read."""
        try:
            return cls(load_recipe(path), path)
        except Refusal:
            return cls(None, path)

    @property
    def empty(self) -> bool:
        return self.recipe == Recipe()

    @property
    def anchored(self) -> Recipe:
        """The recipe with what was typed relative to the folder finetty was started in made absolute."""
        return anchored(self.recipe, Path.cwd())

    @property
    def data_files(self) -> tuple[str, ...]:
        return tuple(file.path for file in self.recipe.dataset.train)

    def value(self, option: str) -> Any:
        return value_of(self.recipe, option)

    def text(self, option: str) -> str:
        """What a field of this option shows: the unfinished text, else the value as a person types it."""
        return self.typed.get(option) or written(self.value(option))

    def answer(self, option: str, value: Any) -> None:
        """Take a value. Raises Refusal."""
        self.recipe = with_values(self.recipe, {option: value})
        self._finished(option)

    def type(self, option: str, text: str) -> None:
        """Take what was typed so far; where it is no value yet the recipe keeps the last one and the fault is noted."""
        if not text.strip():
            self.clear(option)
            return
        try:
            self.answer(option, option_named(option).parse(text.strip()))
        except Refusal as refusal:
            self.typed[option] = text
            self.faults[option] = Finding("error", option, refusal.said, refusal.fix)

    def clear(self, option: str) -> None:
        """Back to the default."""
        section, key = option.split(".")
        part = getattr(self.recipe, section).model_copy(update={key: option_named(option).default})
        self.recipe = self.recipe.model_copy(update={section: part})
        self._finished(option)

    @property
    def before(self) -> Recipe | None:
        """The answers that another recipe took the place of; None where there are none."""
        if self.path is None:
            return self._before
        try:
            return load_recipe(_before(self.path))
        except Refusal:
            return None

    def replace(self, recipe: Recipe, unread: Mapping[str, str] | None = None) -> None:
        """Take another recipe as a whole, and what could not be read of it; the answers until now stay as those
        before it."""
        if not self.empty and self.anchored != recipe:
            self._before = self.anchored
            if self.path is not None:
                _keep(self._before, _before(self.path))
        self.recipe = recipe
        self.typed.clear()
        self.faults.clear()
        for option, text in (unread or {}).items():
            self.type(option, text)
        self.save()

    def set_data_file(self, index: int, path: str) -> None:
        """Put a path at this place of the list of files; an empty one takes the file out. Formats stay as they are."""
        files = list(self.recipe.dataset.train)
        if path.strip() and index < len(files):
            files[index] = files[index].model_copy(update={"path": path.strip()})
        elif path.strip():
            files.append(DataFile(path=path.strip()))
        elif index < len(files):
            del files[index]
        self.answer("dataset.train", files)

    def _finished(self, option: str) -> None:
        self.typed.pop(option, None)
        self.faults.pop(option, None)
        self.save()

    def save(self) -> None:
        """Keep the answers on disk, whole or not at all; a disk that refuses costs only the safety net."""
        if self.path is not None:
            _keep(self.anchored, self.path)


def _before(path: Path) -> Path:
    return path.with_suffix(".before.yaml")


def _keep(recipe: Recipe, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_suffix(f".{os.getpid()}.part")
        beside.write_text(dump_recipe(recipe), encoding="utf-8")
        beside.replace(path)
    except OSError:
        return


def written(value: Any) -> str:
    """A value as it is typed: YAML's words, lists and mappings in one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if value < 1e-3 or value >= 1e6 else f"{value:.6g}"
    if isinstance(value, str | int):
        return str(value)
    return _flow(value)


def _flow(value: Any) -> str:
    from io import StringIO

    from pydantic import BaseModel
    from ruamel.yaml import YAML

    plain = [item.model_dump(exclude_defaults=True) if isinstance(item, BaseModel) else item for item in value]
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style, writer.width = True, 1 << 20
    stream = StringIO()
    writer.dump(plain, stream)
    return stream.getvalue().strip()
