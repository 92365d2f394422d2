"""What the backend says to a person: an id with values, whose English text is the key to its translation.

A message is declared once, beside the code that says it:

    NO_SUCH_FILE = message("dataset.no_such_file", "There is no file {path}.")
    ...
    raise Refusal(NO_SUCH_FILE(path=path))

Files and JSON carry the id, the values and the English text; the terminal translates. So a plan written in one
language opens in another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Any, Literal

_templates: dict[str, str] = {}


@dataclass(frozen=True)
class Message:
    """One sentence or more to a person. `values` are plain JSON values or messages; `text` is the English wording."""

    id: str
    values: Mapping[str, Any] = field(default_factory=dict)
    written: str | None = None
    """The English text found in a file, for an id that this version does not declare."""

    @property
    def template(self) -> str | None:
        return _templates.get(self.id)

    @property
    def text(self) -> str:
        template = self.template
        return fill(template, self.values) if template is not None else (self.written or self.id)

    def __format__(self, specification: str) -> str:
        return format(self.text, specification)

    def to_json(self) -> dict[str, Any]:
        """Id and values; whoever writes them puts `text` beside them, for readers that know no ids."""
        return {"id": self.id, "values": {name: _to_json(value) for name, value in self.values.items()}}

    def told(self) -> dict[str, Any]:
        """Id and values with the text beside them."""
        return self.to_json() | {"text": self.text}

    @classmethod
    def from_json(cls, said: Mapping[str, Any], text: str) -> Message:
        return cls(said["id"], {name: _from_json(value) for name, value in said["values"].items()}, text)

    def __str__(self) -> str:
        return self.text


class _Wording(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        return size(value) if format_spec == "size" else str(format(value, format_spec))


def fill(template: str, values: Mapping[str, Any]) -> str:
    """The sentence with its values: `{needed:size}` is written as 15.4 GB, everything else as str.format does.

    Raises KeyError, IndexError and ValueError as str.format does.
    """
    return _Wording().vformat(template, (), values)


def size(count: int | None) -> str:
    """Bytes in the unit that a person reads: 15.4 GB (1024-based, as cards are sold and measured)."""
    if count is None:
        return "?"
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit in {"B", "KB"} or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"


@dataclass(frozen=True)
class Declared:
    """A message's declaration; calling it with the values makes the message."""

    id: str

    def __call__(self, **values: Any) -> Message:
        return Message(self.id, {name: _plain(value) for name, value in values.items()})


def message(message_id: str, text: str) -> Declared:
    """Declare a message. `text` is English, with `{name}` where a value goes; ids are unique."""
    if message_id in _templates and _templates[message_id] != text:
        raise ValueError(f"two messages are called {message_id}")
    _templates[message_id] = text
    return Declared(message_id)


Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something wrong or unwise. An error keeps the run from starting. `option` is where to mend it."""

    level: Level
    option: str | None
    message: Message
    fix: Message | None = None

    def to_json(self) -> dict[str, Any]:
        said = {"message": self.message.to_json(), "fix": self.fix.to_json() if self.fix else None}
        return {
            "level": self.level,
            "option": self.option,
            "message": self.message.text,
            "fix": self.fix.text if self.fix else None,
            "said": said,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        said, fix = data["said"], data["fix"]
        return cls(
            data["level"],
            data["option"],
            Message.from_json(said["message"], data["message"]),
            Message.from_json(said["fix"], fix) if fix else None,
        )


class Refusal(Exception):
    """What the user asked for cannot be done, and what would mend it: one clear sentence each, and exit code 2.

    `option` is the dotted name of the recipe option at fault ("method.rank"), so that the wizard can go to it.
    """

    def __init__(
        self,
        said: Message,
        fix: Message | None = None,
        *,
        option: str | None = None,
        path: Path | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(said.text)
        self.said, self.fix, self.option, self.path, self.line = said, fix, option, path, line

    def __str__(self) -> str:
        place = "" if self.path is None else f"{self.path}:{self.line}: " if self.line else f"{self.path}: "
        return place + self.said.text + (f" {self.fix.text}" if self.fix else "")


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | Message | None) else str(value)


def _to_json(value: Any) -> Any:
    return value.told() if isinstance(value, Message) else value


def _from_json(value: Any) -> Any:
    return Message.from_json(value, value["text"]) if isinstance(value, Mapping) else value
