"""YAML that a person wrote: read whole, with the line of every key, and with 2e-4 as the number that is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from finetty.backend.messages import Refusal, message

NO_RECIPE = message("recipe.no_file", "There is no recipe here.")
UNREADABLE = message("recipe.unreadable", "The recipe cannot be read: {reason}.")
NOT_YAML = message("recipe.not_yaml", "This is not valid YAML: {problem}.")
NOT_A_RECIPE = message("recipe.not_a_recipe", "A recipe is a mapping of sections; this holds something else.")
BEGIN_SO = message("recipe.begin_so", "Begin with `finetty: 1`.")

LARGEST_RECIPE = 1 << 20


def yaml_text(path: Path) -> str:
    """The text of a recipe's file. Raises Refusal."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_RECIPE + 1)
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise Refusal(NO_RECIPE(), path=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(
            UNREADABLE(reason=getattr(error, "strerror", None) or "it is not UTF-8 text"), path=path
        ) from None


def yaml_tree(text: str, path: Path | None) -> CommentedMap:
    """The mapping that a YAML text holds, with its lines. Raises Refusal; `path` is only for its error messages."""
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


def plain_values(node: Any) -> Any:
    """YAML's tree as dict, list and scalars, with 2e-4 read as the number a person means."""
    if isinstance(node, CommentedMap):
        return {str(key): plain_values(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [plain_values(value) for value in node]
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


def line_of(tree: Any, location: tuple[int | str, ...]) -> int | None:
    """The line, from 1, of the deepest part of `location` that the tree holds."""
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
