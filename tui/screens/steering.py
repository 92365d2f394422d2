"""A screen that steers a run: its keys leave commands in the run's folder, and the answers come back to it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Literal

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run, send_command, withdraw
from finetty.tui.language import _, translate
from finetty.tui.screens.base import TranslatedScreen
from finetty.tui.screens.choose import Asked, Choice, Choose
from finetty.tui.screens.dashboard_words import command_words, done_words
from finetty.tui.screens.dialogs import Question
from finetty.tui.screens.run_asks import RunAsks
from finetty.tui.story import Alert
from finetty.tui.text import visible
from finetty.tui.watch import View

SECONDS_FOR_AN_ANSWER = 30.0
SECONDS_SAID = 10.0
"""How long the answer to a command stays in sight."""

Outcome = Literal["detach", "ended", "edit"]


def can_talk(run: Run) -> bool:
    """Whether the run has something to talk to."""
    return run.output.is_dir() or any(run.checkpoints.glob("step-*"))


class SteeringScreen(TranslatedScreen[Outcome]):
    """A run and the commands to it. Subclasses set `view` as the run goes on, and show what `say` is told."""

    def __init__(self, run: Run, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.run, self.clock = run, clock
        self.view: View | None = None
        self.sent: dict[str, tuple[str, float]] = {}
        """The commands that wait for their answers: their names and when they were sent, by their ids."""
        self.said: tuple[str, float] | None = None
        """What is said of the last command, and until when."""
        self.asking: RunAsks | None = None
        """The run's own question, while it is on the screen."""
        self.put_off: Alert | None = None
        """The question that was answered here, or left with Esc: it does not come up by itself again."""

    def show_said(self) -> None:
        """Show `said` at once."""

    def hear(self, view: View) -> None:
        """See which of the commands that were sent are answered, or have waited in vain."""
        answers = {answer.id: answer for answer in view.answers}
        for command_id, (name, since) in list(self.sent.items()):
            answer = answers.get(command_id)
            if answer is not None:
                self.say(done_words(name) if answer.result == "done" else visible(answer.reason))
            elif not view.over:
                # One that was taken is obeyed: a checkpoint at the end of a step, however long that is.
                if view.now - since <= SECONDS_FOR_AN_ANSWER or not withdraw(self.run, command_id):
                    continue
                self.say(_("No answer to: {command}").format(command=command_words(name)))
            del self.sent[command_id]

    def say(self, text: str) -> None:
        self.said = (text, self.clock() + SECONDS_SAID)
        self.show_said()

    def send(self, name: str) -> None:
        try:
            command_id = send_command(self.run, name)
        except Refusal as refusal:
            self.say(translate(refusal.said))
            if name == "stop-and-save":
                self._offer_signal(refusal)
            return
        self.sent[command_id] = (name, self.clock())
        self.say(_("Asked: {command}").format(command=command_words(name)))

    def _offer_signal(self, refusal: Refusal) -> None:
        """A full disk takes no command, but a signal needs no room."""
        try:
            pid = self.run.training_pid()
        except Refusal:
            pid = None
        if pid is None:
            return

        def says() -> tuple[str, str, str]:
            told = _(
                "Its process can be told without a file, by SIGTERM: it stops, saves what there is room for, and ends."
            )
            why = visible(translate(refusal.said))
            return _("Stop the run by a signal?"), f"{why}\n{told}", _("Send SIGTERM")

        self.app.push_screen(Question(says), lambda yes: self._signal(pid) if yes else None)

    def _signal(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError as error:
            self.say(_("The signal could not be sent: {reason}.").format(reason=error.strerror))
        else:
            self.say(_("Asked: {command}").format(command=command_words("stop-and-save")))

    def ask(self, view: View) -> None:
        """Bring up what the run asks, and take it away once it was answered from anywhere."""
        question = view.question
        if self.asking is not None and self.asking.asked != question:
            if self.app.screen is self.asking:  # it would take away whatever lies over it instead
                self.asking.dismiss(None)
        elif self.asking is None and question not in (None, self.put_off) and self.app.screen is self:
            self.action_answer()

    def action_answer(self) -> None:
        question = self.view.question if self.view else None
        if self.view is not None and question is not None:
            self.asking = RunAsks(question, self.view.step, self.view.now)
            self.app.push_screen(self.asking, partial(self._answered, question))

    def _answered(self, question: Alert, choice: str | None) -> None:
        self.asking, self.put_off = None, question
        if choice is not None:
            self.send(choice)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of a run that is over do nothing and are not shown; leaving is then what Enter does."""
        over = self.view is not None and self.view.over
        if action in ("pause", "checkpoint", "stop", "discard", "detach"):
            return not over
        if action == "answer":
            return self.view is not None and self.view.question is not None
        if action == "edit":
            return over
        if action == "talk":
            return over and can_talk(self.run)
        if action in ("done", "leave_run"):
            return over == (action == "done")
        return True

    def action_pause(self) -> None:
        if self.view and self.view.question:  # to go on would be an answer, which is not given in passing
            self.action_answer()
            return
        self.send("resume" if self.view and self.view.state == "paused" else "pause")

    def action_checkpoint(self) -> None:
        self.send("checkpoint")

    def action_stop(self) -> None:
        question = Question(
            lambda: (
                _("Stop the run?"),
                _("It ends after this step and keeps what it has learned so far."),
                _("Stop and save"),
            )
        )
        self.app.push_screen(question, lambda yes: self.send("stop-and-save") if yes else None)

    def action_discard(self) -> None:
        question = Question(
            lambda: (
                _("Stop the run and save nothing?"),
                _("What it has learned since its last checkpoint is lost."),
                _("Stop, save nothing"),
            )
        )
        self.app.push_screen(question, lambda yes: self.send("stop") if yes else None)

    def action_detach(self) -> None:
        self.dismiss("detach")

    def action_done(self) -> None:
        self.dismiss("ended")

    @property
    def fault(self) -> str | None:
        """The recipe's option that the run failed by, where one is to blame."""
        return self.view.figures.fault if self.view else None

    def action_edit(self) -> None:
        self.dismiss("edit")

    def action_talk(self) -> None:
        from finetty.tui.screens.chat import ChatScreen

        self.app.push_screen(ChatScreen(self.run))

    def action_leave_run(self) -> None:
        """Ask what becomes of the run; there is nothing to ask once it is over."""
        if self.view is not None and self.view.over:
            self.action_done()
        else:
            self.app.push_screen(Choose(self._leaving), self._leave)

    def _leaving(self) -> Asked:
        leave = Choice("detach", "d", _("Detach"), _("leave the screen; the run goes on"))
        stop = Choice("stop", "s", _("Stop and save"), _("end the run, keep what was learned"))
        stay = Choice("stay", "g", _("Go on"), _("stay here"))
        about = _("It can be opened again with: {command}").format(command=f"finetty attach {self.run.id}")
        return _("What becomes of the run?"), about, (leave, stop, stay)

    def _leave(self, choice: str | None) -> None:
        if choice == "detach":
            self.dismiss("detach")
        elif choice == "stop":
            self.send("stop-and-save")
