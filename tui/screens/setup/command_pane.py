"""A command that was agreed to, with its output as it comes; it can be cancelled, and how it ended is said."""

from __future__ import annotations

import time
from collections.abc import Sequence
from shlex import join
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message

from finetty.backend.machine.running import Running
from finetty.tui.actions import dialog_bindings
from finetty.tui.language import _
from finetty.tui.screens.base import TranslatedDialog
from finetty.tui.screens.dialogs import Question
from finetty.tui.text import visible
from finetty.tui.watch import plain_line
from finetty.tui.widgets.console import KEPT_LINES, FollowingLog
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.prose import Prose

SECONDS_BETWEEN_DRAWINGS = 0.25


class CommandPane(TranslatedDialog[int]):
    """Starts the command when it opens; dismissed with its exit code."""

    BINDINGS: ClassVar[list[BindingType]] = dialog_bindings("command")

    class Printed(Message):
        """Whole lines, and the beginning of the one that is not."""

        def __init__(self, lines: list[str], begun: str) -> None:
            self.lines, self.begun = lines, begun
            super().__init__()

    class Ended(Message):
        def __init__(self, code: int) -> None:
            self.code = code
            super().__init__()

    def __init__(self, command: Sequence[str]) -> None:
        super().__init__()
        self.command = tuple(command)
        self.running: Running | None = None
        self.lines: list[str] = []
        self.begun = ""
        self.code: int | None = None
        self.fault = ""

    def compose(self) -> ComposeResult:
        with Vertical(id="command-pane") as box:
            box.border_title = Content(_("Running"))
            yield Prose(Content.styled(visible(join(self.command)), "$muted"), id="command")
            yield FollowingLog(id="output", max_lines=KEPT_LINES, highlight=False, auto_scroll=False)
            yield Prose("", id="begun")
            yield Prose("", id="ended", classes="keys")
        yield KeyBar()

    def on_mount(self) -> None:
        self._show()
        try:
            self.running = Running(self.command)
        except OSError as error:
            self.fault = error.strerror or type(error).__name__
            self.post_message(self.Ended(127))
            return
        self._read(self.running)

    def on_unmount(self) -> None:
        """Where the app goes, the command goes too: nothing is installed behind a person's back."""
        if self.running is not None and self.code is None:
            self.running.cancel()

    async def relabel(self) -> None:
        await super().relabel()
        self.query_one("#output", FollowingLog).write_lines(self.lines)
        self._show()

    @work(thread=True)
    def _read(self, running: Running) -> None:
        rest, lines, drawn = b"", [], 0.0
        for said in running.output():
            *whole, rest = (rest + said).split(b"\n")
            lines += [plain_line(line) for line in whole]
            rest = rest[-4096:]
            if time.monotonic() - drawn >= SECONDS_BETWEEN_DRAWINGS:
                drawn = time.monotonic()
                self.post_message(self.Printed(lines, plain_line(rest)))
                lines = []
        self.post_message(self.Printed([*lines, *([plain_line(rest)] if rest else [])], ""))
        self.post_message(self.Ended(running.exit_code()))

    @on(Printed)
    def _printed(self, event: Printed) -> None:
        self.begun = event.begun
        if event.lines:
            self.lines = [*self.lines, *event.lines][-KEPT_LINES:]
            self.query_one("#output", FollowingLog).write_lines(event.lines, scroll_end=True)
        self._show()

    @on(Ended)
    def _ended(self, event: Ended) -> None:
        self.code = event.code
        self._show()
        self.refresh_bindings()

    def _show(self) -> None:
        begun, ended = self.query_one("#begun", Prose), self.query_one("#ended", Prose)
        begun.display = bool(self.begun)
        begun.say(self.begun)
        ended.say(self._state())

    def _state(self) -> Content:
        if self.code is None and self.running is not None and self.running.cancelled:
            return Content.styled(_("Cancelling …"), "$text-warning")
        if self.code is None:
            return Content(_("It is running. Esc cancels it; it asks first."))
        if self.fault:
            said, style = _("✗ It could not be started: {reason}.").format(reason=visible(self.fault)), "$text-error"
        elif self.code == 0:
            said, style = _("✓ It is done: exit code 0."), "$text-success"
        elif self.running is not None and self.running.cancelled:
            said, style = _("It was cancelled: exit code {code}.").format(code=self.code), "$text-warning"
        else:
            said, style = (
                _("✗ It failed: exit code {code}. Its last lines say why.").format(code=self.code),
                "$text-error",
            )
        return Content.assemble((said, style), "  ", _("Enter or Esc goes back."))

    def action_close_command(self) -> None:
        if self.code is not None:
            self.dismiss(self.code)

    def action_close(self) -> None:
        if self.code is not None:
            self.dismiss(self.code)
        elif self.running is not None and not self.running.cancelled:
            self.app.push_screen(Question(self._cancelling), self._cancel)

    def _cancelling(self) -> tuple[str, str, str]:
        text = _("It is ended together with everything that it started; what was installed by then stays.")
        return _("Cancel the command?"), text, _("Cancel it")

    def _cancel(self, agreed: bool | None) -> None:
        if agreed and self.running is not None and self.code is None:
            self.running.cancel_in_background()
            self._show()
