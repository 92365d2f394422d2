"""Recipes as YAML: reading with file, line and nearest spelling in every error; writing without what is default."""

from __future__ import annotations

import os
import re
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from finetty.backend.messages import Refusal, message
from finetty.backend.recipe.options import WORDS, nearest, options
from finetty.backend.recipe.schema import DataFile, Recipe

NO_RECIPE = message("recipe.no_file", "There is no recipe here.")
UNREADABLE = message("recipe.unreadable", "The recipe cannot be read: {reason}.")
NOT_YAML = message("recipe.not_yaml", "This is not valid YAML: {problem}.")
NOT_A_RECIPE = message("recipe.not_a_recipe", "A recipe is a mapping of sections; this holds something else.")
BEGIN_SO = message("recipe.begin_so", "Begin with `finetty: 1`.")
UNKNOWN_KEY = message("recipe.unknown_key", "There is no option {name}.")
KNOWN_KEYS = message("recipe.known_keys", "Known here: {names}.")
EXPECTED = message("recipe.expected", "{name} cannot be {value}: expected {expected}.")
MISSING = message("recipe.missing", "{name} is missing.")
SECTION = message("recipe.section", "a mapping of options")

LARGEST_RECIPE = 1 << 20
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; relative paths in it count from its own folder. Raises Refusal with file and line."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_RECIPE + 1)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise Refusal(NO_RECIPE(), path=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(
            UNREADABLE(reason=getattr(error, "strerror", None) or "it is not UTF-8 text"), path=path
        ) from None
    return anchored(parse_recipe(text, path), path.resolve().parent)


def parse_recipe(text: str, path: Path | None = None) -> Recipe:
    """A recipe from its YAML text. Raises Refusal; `path` is only for its error messages."""
    tree = _yaml(text, path)
    try:
        return Recipe.model_validate(_plain(tree))
    except ValidationError as error:
        raise _refusal(error, tree, path) from None


def dump_recipe(recipe: Recipe, *, defaults: bool = False) -> str:
    """The recipe's YAML; without `defaults`, only what differs from them."""
    content = recipe.model_dump(mode="json", exclude_defaults=not defaults)
    stream = StringIO()
    writer = YAML()
    writer.width = 4096
    writer.dump({"finetty": 1, **content}, stream)
    return stream.getvalue()


def anchored(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with its relative paths made absolute from `folder`; names on the Hub stay as they are."""
    changed = recipe.model_copy(deep=True)
    changed.dataset.train = [_anchored_file(file, folder) for file in recipe.dataset.train]
    if isinstance(recipe.dataset.validation, str) and recipe.dataset.validation != "auto":
        changed.dataset.validation = _anchored_data(recipe.dataset.validation, folder)
    path = recipe.model.path
    if path and (path.startswith((".", "~", os.sep)) or (folder / path).is_dir()):
        changed.model.path = _absolute(path, folder)
    return changed


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
    return str(Path(os.path.normpath(folder / Path(path).expanduser())))


def _yaml(text: str, path: Path | None) -> CommentedMap:
    try:
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise Refusal(NOT_YAML(problem=error.problem or "broken"), path=path, line=line) from None
    except (YAMLError, ValueError) as error:
        raise Refusal(NOT_YAML(problem=str(error).splitlines()[0]), path=path) from None
    if not isinstance(tree, CommentedMap):
        raise Refusal(NOT_A_RECIPE(), BEGIN_SO(), path=path)
    return tree


def _plain(node: Any) -> Any:
    """YAML's tree as dict, list and scalars, with 2e-4 read as the number a person means."""
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return _number(kind(node)) if kind is str else kind(node)
    return str(node)


def _number(text: str) -> str | float:
    mantissa, exponent, _ = text.partition("e") if "e" in text else (text, "", "")
    if exponent and mantissa.replace(".", "", 1).isdigit():
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _refusal(error: ValidationError, tree: CommentedMap, path: Path | None) -> Refusal:
    problem = min(error.errors(), key=lambda item: _line(tree, item["loc"]) or 0)
    keys = _keys(problem["loc"], tree)
    name, line = ".".join(map(str, keys)), _line(tree, keys)
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


def _line(tree: Any, location: tuple[int | str, ...]) -> int | None:
    line: int | None = None
    for part in location:
        if isinstance(tree, CommentedMap) and part in tree:
            line = tree.lc.key(part)[0] + 1
        elif isinstance(tree, CommentedSeq) and isinstance(part, int) and part < len(tree):
            line = tree.lc.item(part)[0] + 1
        else:
            break
        tree = tree[part]
    return line


def _siblings(keys: tuple[int | str, ...]) -> list[str]:
    if len(keys) == 1:
        return list(Recipe.model_fields)
    if len(keys) > 2:
        return list(DataFile.model_fields)
    section = Recipe.model_fields[str(keys[0])].annotation
    return list(getattr(section, "model_fields", {}))
