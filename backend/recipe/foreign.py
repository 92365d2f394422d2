"""Another tool's YAML on its way into a recipe: what was taken over, and what was left behind with its line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.recipe.files import EXPECTED
from finetty.backend.recipe.options import WORDS, option_named
from finetty.backend.recipe.schema import Recipe
from finetty.backend.recipe.yaml_tree import line_of, plain_values, yaml_text, yaml_tree

NOTHING_LIKE = message("import.nothing_like", "finetty has nothing like it")
BY_ITSELF = message("import.by_itself", "finetty sees to this itself")
ONLY = message("import.only", "finetty has only {words} here")

OFF: tuple[Any, ...] = (None, False, 0, "", "none", "no", [], {})
"""Values that ask for nothing: what is turned off needs no counterpart."""


@dataclass(frozen=True)
class Left:
    """A key that could not be carried over, and why."""

    key: str
    value: Any
    line: int | None
    reason: Message


@dataclass(frozen=True)
class Imported:
    """`kind` is the tool that the file was written for."""

    kind: str
    recipe: Recipe
    left: tuple[Left, ...]


class Foreign:
    """The keys of the file. What nobody asks for is left behind at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tree = yaml_tree(yaml_text(path), path)
        self.values: dict[str, Any] = plain_values(self._tree)
        self.recipe = Recipe()
        self._left: dict[str, Left] = {}
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def take(self, key: str, default: Any = None) -> Any:
        """The key's value, which is then seen to."""
        self._asked.add(key)
        value = self.values.get(key)
        return default if value is None else value

    def put(self, option: str, value: Any, key: str) -> None:
        """Give the recipe's option a value that came from `key`. Raises Refusal with the line where it cannot be."""
        self._asked.add(key)
        declared = option_named(option)
        try:
            checked = declared.check(value)
        except Refusal:
            raise self.wrong(key, declared.expected) from None
        section, name = option.split(".")
        setattr(getattr(self.recipe, section), name, checked)

    def put_word(self, option: str, words: Mapping[Any, Any], key: str) -> None:
        """The same by a table of the tool's words; another word is left behind. Nothing where the key is not there."""
        value = self.take(key)
        if value is None:
            return
        if isinstance(value, list | dict) or value not in words:
            self.leave(key, ONLY(words=", ".join(dict.fromkeys(map(_shown, words)))))
        else:
            self.put(option, words[value], key)

    def number(self, key: str, default: float, kind: type[int] | type[float] = float) -> Any:
        """A number. Raises Refusal with the line."""
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
            raise self.wrong(key, WORDS(words="a whole number" if kind is int else "a number"))
        return value

    def names(self, key: str) -> list[str]:
        """A list, or one text with commas."""
        value = self.take(key, [])
        parts = value if isinstance(value, list) else str(value).split(",")
        return [str(part).strip() for part in parts if str(part).strip()]

    def wrong(self, key: str, expected: Message) -> Refusal:
        said = EXPECTED(name=key, value=_shown(self.values.get(key)), expected=expected)
        return Refusal(said, path=self.path, line=self.line(key))

    def leave(self, key: str, reason: Message, *within: int | str) -> None:
        """Name a key, or what stands `within` it, as left behind."""
        self._asked.add(key)
        value: Any = self.values.get(key)
        for part in within:
            value = value[part]
        name = ".".join(map(str, (key, *within)))
        self._left[name] = Left(name, value, line_of(self._tree, (key, *within)), reason)

    def is_left(self, key: str) -> bool:
        return key in self._left

    def line(self, key: str) -> int | None:
        return line_of(self._tree, (key,)) if key in self.values else None

    def imported(self, kind: str, by_itself: Iterable[str]) -> Imported:
        """The recipe, and every key that nobody has taken. `by_itself` are keys for what finetty does unasked."""
        unasked = set(by_itself)
        for key, value in self.values.items():
            if key not in self._asked and value not in OFF:
                self.leave(key, BY_ITSELF() if key in unasked else NOTHING_LIKE())
        return Imported(kind, self.recipe, tuple(sorted(self._left.values(), key=lambda left: left.line or 0)))

    def folder_with(self, name: str) -> Path:
        """Where a relative path counts from: the first of the file's folder, those above it and the working directory
        that holds it, since both tools count from where they were started. The file's own folder when none does.
        """
        own = self.path.resolve().parent
        for folder in (own, *own.parents, Path.cwd()):
            if (folder / name).exists():
                return folder
        return own


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
