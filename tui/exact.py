"""The exact figure in the wizard: asked for once the plan has been the same for a while, and again when it changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, ClassVar

from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from finetty.backend.messages import Finding
from finetty.backend.replay.asking import Answer, Question, Replaying, Replays
from finetty.backend.replay.planned import question_of, with_answer

if TYPE_CHECKING:
    from finetty.tui.screens.state import State


class Replayed(Message):
    """A replay that the wizard asked for has ended."""

    def __init__(self, question: Question, answer: Answer) -> None:
        self.question, self.answer = question, answer
        super().__init__()


@dataclass
class ExactFigure:
    """One question at a time. What is not asked any more is stopped; an answer stays as long as its question does."""

    screen: Screen[None]
    pause: ClassVar[float | None] = 2.0
    """Seconds without a change before it is asked; None: never."""
    replays: Replays = field(default_factory=Replays, init=False)
    _asked: Question | Finding | None = field(default=None, init=False)
    _answer: Answer | None = field(default=None, init=False)
    _timer: Timer | None = field(default=None, init=False)
    _running: Replaying | None = field(default=None, init=False)

    def follow(self, state: State) -> None:
        """Bring the plan up to date with the answer, or ask anew where the plan asks something else."""
        plan, known = state.plan, state.known
        if plan is None or known.machine is None or self.pause is None:
            return
        question = question_of(plan, known.model.facts, known.machine, known.data.facts)
        if question != self._asked:
            self.stop()
            self._asked = question
            if known.model.facts is not None:  # torch is loaded while the other questions are answered
                self.replays.start()
            if isinstance(question, Question) and not plan.errors:
                self._timer = self.screen.set_timer(self.pause, self._ask)
        if self._answer is not None and plan.memory.exact is None and self._not_said(plan.findings):
            state.plan = with_answer(plan, self._answer)

    def _not_said(self, findings: tuple[Finding, ...]) -> bool:
        return self._answer is not None and self._answer.finding not in findings

    def _ask(self) -> None:
        question = self._asked
        if not isinstance(question, Question):
            return
        running = self._running = self.replays.ask(question)

        def wait() -> None:
            answer = running.answer()
            if running is self._running:
                self.screen.post_message(Replayed(question, answer))

        Thread(target=wait, daemon=True, name="exact figure").start()

    def take(self, message: Replayed) -> None:
        """Keep the answer if it is still what is asked."""
        if message.question == self._asked:
            self._answer, self._running = message.answer, None

    def close(self) -> None:
        self.stop()
        self.replays.close()

    def stop(self) -> None:
        """Nothing is asked any more: the replay that is running ends at once."""
        if self._timer is not None:
            self._timer.stop()
        running, self._running, self._timer, self._answer = self._running, None, None, None
        if running is not None:
            running.stop()
