"""A conversation with the base and the tuned model, each with what it itself said before, and its transcript."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetty.backend.messages import Refusal, message
from finetty.backend.results.exported import Talked, transcripts_of

NOT_SAVED = message("chat.not_saved", "The transcript cannot be written to {path}: {reason}.")
SIDES = ("tuned", "base")
"""In the order in which they answer: the one that is wanted first."""
TEMPERATURES = (0.0, 0.7, 1.0)
BOUNDS: dict[str, tuple[float, float]] = {"temperature": (0, 10), "top-p": (0.01, 1), "longest": (1, 100_000)}
OUT_OF_BOUNDS = message("chat.out_of_bounds", "{name} is a number from {low} to {high}, not {text}.")
NOT_WHOLE = message("chat.not_whole", "{name} is a whole number from {low} to {high}, not {text}.")
NO_SETTING = message("chat.no_setting", "/temperature 0.7  /top-p 0.9  /longest 200  /system TEXT")


@dataclass
class Settings:
    """How the model answers; at temperature 0 the likeliest token is always taken."""

    temperature: float = 0.0
    top_p: float = 0.95
    longest: int = 512
    system: str | None = None
    """None where the template's own is taken."""

    def take(self, name: str, text: str) -> None:
        """Set what is called so to what was typed. Raises Refusal, and changes nothing then."""
        if name == "system":
            self.system = text.strip() or None
            return
        if name not in BOUNDS:
            raise Refusal(NO_SETTING())
        whole, (low, high) = name == "longest", BOUNDS[name]
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = high + 1
        if not low <= value <= high:
            raise Refusal((NOT_WHOLE if whole else OUT_OF_BOUNDS)(name=name, low=low, high=high, text=text))
        setattr(self, name.replace("-", "_"), value)

    def sampling(self) -> dict[str, Any]:
        """What the model that answers is told beside the conversation."""
        return {"temperature": self.temperature, "top_p": self.top_p, "longest": self.longest}

    def next_temperature(self) -> None:
        warmer = [one for one in TEMPERATURES if one > self.temperature]
        self.temperature = warmer[0] if warmer else TEMPERATURES[0]


@dataclass
class Conversation:
    """What was said on each side: [role, content] in turn."""

    said: dict[str, list[list[str]]] = field(default_factory=lambda: {side: [] for side in SIDES})
    forgotten: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    """How many of the turns the model is not told any more."""

    def turns(self, side: str, settings: Settings) -> list[list[str]]:
        remembered = self.said[side][self.forgotten[side] :]
        return ([["system", settings.system]] if settings.system else []) + remembered

    def forget(self) -> None:
        """The models begin anew; what was said stays on the screen and in the transcript."""
        self.forgotten = {side: len(said) for side, said in self.said.items()}

    def ask(self, question: str, sides: tuple[str, ...]) -> None:
        for side in sides:
            self.said[side].append(["user", question])

    def answer(self, side: str, text: str) -> None:
        self.said[side].append(["assistant", text])

    def transcript(self, talked: Talked, settings: Settings) -> str:
        """As Markdown: both sides of each question."""
        lines = [f"# {talked.id}", "", f"temperature {settings.temperature}, top-p {settings.top_p}", ""]
        if settings.system:
            lines += ["system: " + settings.system, ""]
        for side in SIDES:
            if self.said[side]:
                lines += [f"## {side}", ""]
                lines += [line for role, text in self.said[side] for line in (f"**{role}**", "", text, "")]
        return "\n".join(lines)


def save_transcript(talked: Talked, conversation: Conversation, settings: Settings) -> Path:
    """Under the time of day. Raises Refusal."""
    folder = transcripts_of(talked)
    path = folder / time.strftime("%Y%m%d-%H%M%S.md")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(conversation.transcript(talked, settings), encoding="utf-8")
    except OSError as error:
        raise Refusal(NOT_SAVED(path=path, reason=error.strerror or "?")) from None
    return path


def take_setting(line: str, settings: Settings) -> None:
    """Take `/temperature 0.7`, `/top-p 0.9`, `/longest 200` or `/system TEXT`. Raises Refusal for what is none."""
    name, _, value = line[1:].partition(" ")
    settings.take(name, value)


def settings_from(given: Mapping[str, str | None], *, longest: int = Settings.longest) -> Settings:
    """What was given on the command line, by the names of the settings. Raises Refusal."""
    settings = Settings(longest=longest)
    for name, text in given.items():
        if text is not None:
            settings.take(name, text)
    return settings
