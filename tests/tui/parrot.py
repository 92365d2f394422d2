"""A stand-in for the process with the model."""

from __future__ import annotations

from typing import Any

from finetty.tui.talking import Hear


class Parrot:
    """It keeps what it was asked, and the test speaks for it; `last` is the one that a screen opened last."""

    last: Parrot

    def __init__(self, _subject: object, hear: Hear) -> None:
        self.hear, self.stopped, self.closed = hear, 0, False
        self.asked: list[dict[str, Any]] = []
        Parrot.last = self

    def ask(self, **request: Any) -> None:
        self.asked.append(request)

    def stop(self) -> None:
        self.stopped += 1

    def close(self) -> None:
        self.closed = True

    def say(self, *pieces: str) -> None:
        for piece in pieces:
            self.hear({"id": self.asked[-1]["id"], "piece": piece})

    def end(self) -> None:
        self.hear({"id": self.asked[-1]["id"], "done": True, "tokens": 4, "seconds": 2.0})

    def answer(self, *pieces: str) -> None:
        """All it has to say."""
        self.say(*pieces)
        self.end()
