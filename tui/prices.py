"""What each change of the make-it-fit list really saves: replayed one after the other while the list stands there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Thread

from textual.message import Message
from textual.screen import Screen

from finetty.backend.replay.asking import Question, Replaying, Replays


class Priced(Message):
    """One peak of a list is known. `made`: changes made before it; `peak`: bytes of the process, None where unknown."""

    def __init__(self, replaying: Replaying, made: int, peak: int | None) -> None:
        self.replaying, self.made, self.peak = replaying, made, peak
        super().__init__()


@dataclass
class Prices:
    """The peaks by the changes made before them, as far as they are known."""

    screen: Screen[None]
    replays: Replays
    peaks: dict[int, int] = field(default_factory=dict, init=False)
    _left: list[tuple[int, Question]] = field(default_factory=list, init=False)
    _running: Replaying | None = field(default=None, init=False)

    def begin(self, questions: Sequence[Question | None], known: int | None) -> None:
        """Ask for all peaks; `known`: the first of them, if it is. None for a question: it has no answer."""
        self.stop()
        self.peaks = {} if known is None else {0: known}
        asked = [(made, question) for made, question in enumerate(questions) if question is not None]
        self._left = [one for one in asked if one[0] not in self.peaks]
        self._next()

    def _next(self) -> None:
        if not self._left:
            return
        made, question = self._left.pop(0)
        running = self._running = self.replays.ask(question)

        def wait() -> None:
            prediction = running.answer().prediction
            if running is self._running:
                self.screen.post_message(Priced(running, made, prediction.process if prediction else None))

        Thread(target=wait, daemon=True, name="prices").start()

    def take(self, message: Priced) -> None:
        """Keep a peak of the list that is asked for, and ask for the next."""
        if message.replaying is not self._running:
            return
        self._running = None
        if message.peak is not None:
            self.peaks[message.made] = message.peak
        self._next()

    def stop(self) -> None:
        """The replay that is running ends at once, and none follows."""
        running, self._running, self._left = self._running, None, []
        if running is not None:
            running.stop()
