"""What a row is, whatever file it came from, and what it becomes: token ids with what is learned of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

LONGEST_BEGINNING = 400
"""Characters of a plain text that a model is given to go on with."""
Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Turn:
    """One message. `reasoning` is what the model thinks before it answers; `tool_calls` are in OpenAI's form."""

    role: Role
    content: str
    reasoning: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    name: str | None = None
    """Of a tool's answer: the tool that gave it."""
    call_id: str | None = None
    """Of a tool's answer: the call that it answers."""


@dataclass(frozen=True)
class Row:
    """One conversation to learn from; `line` is 1-based in `source`, `tools` are the JSON schemas offered."""

    turns: tuple[Turn, ...]
    source: str = ""
    line: int | None = None
    tools: tuple[Mapping[str, Any], ...] = ()

    @property
    def reasons(self) -> bool:
        """Whether an answer of it brings its reasoning."""
        return any(has_reasoning(turn) for turn in self.turns)

    @property
    def plain(self) -> bool:
        """Whether it is no conversation but a text to be learned whole, as in pretraining."""
        return len(self.turns) == 1 and self.turns[0].role == "assistant"

    @property
    def asked(self) -> tuple[Turn, ...]:
        """What the last answer answers; of a plain text its beginning, to be gone on with."""
        if self.plain:
            return (replace(self.turns[0], content=self.turns[0].content[: self._half]),)
        return self.turns[:-1]

    @property
    def wanted(self) -> str:
        """The last answer, with its tool calls as JSON; of a plain text what follows its beginning."""
        if self.plain:
            return self.turns[0].content[self._half : 2 * self._half]
        calls = [json.dumps(call, ensure_ascii=False) for call in self.turns[-1].tool_calls]
        return "\n".join(part for part in (self.turns[-1].content, *calls) if part)

    @property
    def _half(self) -> int:
        return min(LONGEST_BEGINNING, len(self.turns[0].content) // 2)

    @property
    def answers(self) -> tuple[str, ...]:
        return tuple(turn.content for turn in self.turns if turn.role == "assistant")


def has_reasoning(turn: Turn) -> bool:
    return turn.role == "assistant" and bool((turn.reasoning or "").strip() or "</think>" in turn.content)


@dataclass(frozen=True)
class Encoded:
    """One training sequence: token ids, and for each whether its prediction is learned.

    `text` is what was tokenized. `cut` says that the row was longer than the cutoff and its prompt was shortened.
    """

    ids: tuple[int, ...]
    trained: tuple[bool, ...]
    text: str
    cut: bool = False
    split: Callable[[str], tuple[str, ...]] = field(default=lambda text: (text,), repr=False, compare=False)

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text of each token; together they are `text`. A character of several tokens stands at the first."""
        return self.split(self.text)

    @property
    def trained_tokens(self) -> int:
        return sum(self.trained)

    @property
    def last_answer_tokens(self) -> int:
        """Tokens of the last stretch that is learned."""
        learned = bytes(self.trained).rstrip(b"\0")
        return len(learned) - 1 - learned.rfind(b"\0")
