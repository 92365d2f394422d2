"""Recipes as YAML: reading with file, line and nearest spelling in every error; writing without what is default."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from finetty.backend.messages import Refusal, message
from finetty.backend.recipe.options import WORDS, nearest, options
from finetty.backend.recipe.schema import DataFile, Recipe
from finetty.backend.recipe.yaml_tree import line_of, plain_values, yaml_text, yaml_tree

UNKNOWN_KEY = message("recipe.unknown_key", "There is no option {name}.")
KNOWN_KEYS = message("recipe.known_keys", "Known here: {names}.")
EXPECTED = message("recipe.expected", "{name} cannot be {value}: expected {expected}.")
MISSING = message("recipe.missing", "{name} is missing.")
CANNOT_SAVE = message("recipe.cannot_save", "The recipe cannot be written to {path}: {reason}.")
SECTION = message("recipe.section", "a mapping of options")

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; relative paths in it count from its own folder. Raises Refusal with file and line."""
    return anchored(parse_recipe(yaml_text(path), path), path.resolve().parent)


def parse_recipe(text: str, path: Path | None = None) -> Recipe:
    """A recipe from its YAML text. Raises Refusal; `path` is only for its error messages."""
    tree = yaml_tree(text, path)
    try:
        return Recipe.model_validate(plain_values(tree))
    except ValidationError as error:
        raise _refusal(error, tree, path) from None


@dataclass(frozen=True)
class Salvaged:
    """What could be read of a recipe. `unread`: of each option that could not, what stands there; `refusals`: why."""

    recipe: Recipe
    unread: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()


def salvage_recipe(path: Path) -> Salvaged:
    """Read a recipe, leaving out what is refused. Raises Refusal where it is no mapping of sections at all."""
    tree = yaml_tree(yaml_text(path), path)
    values, unread, refusals = plain_values(tree), {}, []
    while True:
        try:
            recipe = Recipe.model_validate(values)
        except ValidationError as error:
            refusal = _refusal(error, tree, path)
            keys = (refusal.option or "").split(".")[:2]
            section = values.get(keys[0])
            left_out = section if len(keys) > 1 and isinstance(section, dict) and keys[1] in section else values
            name = keys[1] if left_out is section else keys[0]
            if name not in left_out:
                raise refusal from None
            value = left_out.pop(name)
            refusals.append(refusal)
            if ".".join(keys) in options():
                unread[".".join(keys)] = _one_line(value)
        else:
            return Salvaged(anchored(recipe, path.resolve().parent), unread, tuple(refusals))


def _one_line(value: Any) -> str:
    """A value as a person types it."""
    if isinstance(value, str):
        return value
    stream = StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style, writer.width = True, 1 << 20
    writer.dump(value, stream)
    return stream.getvalue().removesuffix("...\n").strip()


def dump_recipe(recipe: Recipe, *, defaults: bool = False) -> str:
    """The recipe's YAML; without `defaults`, only what differs from them."""
    content = recipe.model_dump(mode="json", exclude_defaults=not defaults)
    stream = StringIO()
    writer = YAML()
    writer.width = 4096
    writer.dump({"finetty": 1, **content}, stream)
    return stream.getvalue()


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write the recipe whole or not at all. Raises Refusal."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(dump_recipe(recipe), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):  # where nothing can be written, nothing may be there to remove either
            beside.unlink()
        raise Refusal(CANNOT_SAVE(path=path, reason=error.strerror or "?"), path=None) from None


def anchored(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with its relative paths made absolute from `folder`; names on the Hub stay as they are."""
    changed = recipe.model_copy(deep=True)
    changed.dataset.train = [_anchored_file(file, folder) for file in recipe.dataset.train]
    if isinstance(recipe.dataset.validation, str) and recipe.dataset.validation != "auto":
        changed.dataset.validation = _anchored_data(recipe.dataset.validation, folder)
    path = recipe.model.path
    if path and (path.startswith((".", "~", os.sep)) or os.path.isdir(folder / path)):  # noqa: PTH112 - what is half typed may be no path
        changed.model.path = _absolute(path, folder)
    return changed


def with_home(path: str) -> Path:
    """The path with the home folder for its `~`; as it is written where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - that of Path raises for a user who is not there


def is_hub_name(path: str) -> bool:
    """Whether a dataset's path can be a name on the Hub, owner/name, rather than a file's."""
    data_files = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ".gz")
    return _HUB_NAME.fullmatch(path) is not None and not path.lower().endswith(data_files)


def _anchored_file(file: DataFile, folder: Path) -> DataFile:
    return file.model_copy(update={"path": _anchored_data(file.path, folder)})


def _anchored_data(path: str, folder: Path) -> str:
    name = path.partition("#")[0]
    return path if is_hub_name(name) and not (folder / name).exists() else _absolute(path, folder)


def _absolute(path: str, folder: Path) -> str:
    return str(Path(os.path.normpath(folder / with_home(path))))


def _refusal(error: ValidationError, tree: CommentedMap, path: Path | None) -> Refusal:
    problem = min(error.errors(), key=lambda item: line_of(tree, item["loc"]) or 0)
    keys = _keys(problem["loc"], tree)
    name, line = ".".join(map(str, keys)), line_of(tree, keys)
    if problem["type"] == "extra_forbidden":
        siblings = _siblings(keys)
        fix = nearest(str(keys[-1]), siblings) or KNOWN_KEYS(names=", ".join(siblings))
        return Refusal(UNKNOWN_KEY(name=name), fix, option=name, path=path, line=line)
    if problem["type"] == "missing":
        return Refusal(MISSING(name=name), option=name, path=path, line=line)
    known = options().get(name) or options().get(".".join(map(str, keys[:2])))
    if known:
        expected = known.expected
    elif name == "finetty":
        expected = WORDS(words="1")
    else:
        expected = SECTION()
    value = str(problem["input"])[:60]
    return Refusal(EXPECTED(name=name, value=value, expected=expected), option=name, path=path, line=line)


def _keys(location: tuple[int | str, ...], tree: Any) -> tuple[int | str, ...]:
    """The part of pydantic's location that names keys of the file; the rest names alternatives of a union."""
    keys: list[int | str] = []
    for part in location:
        known = (isinstance(tree, CommentedMap) and part in tree) or (
            isinstance(tree, CommentedSeq) and isinstance(part, int)
        )
        if not known:
            if not keys or isinstance(tree, CommentedMap):
                keys.append(part)
            break
        keys.append(part)
        tree = tree[part]
    return tuple(keys)


def _siblings(keys: tuple[int | str, ...]) -> list[str]:
    if len(keys) == 1:
        return list(Recipe.model_fields)
    if len(keys) > 2:
        return list(DataFile.model_fields)
    section = Recipe.model_fields[str(keys[0])].annotation
    return list(getattr(section, "model_fields", {}))
