"""What the libraries print: the end of the console log, and a search that keeps the lines that hold a text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input, Log

from finetty.tui.language import _, plural
from finetty.tui.widgets.figures import Quiet

KEPT_LINES = 5000


class FollowingLog(Log):
    """A log that stays at its end, also where it was not in sight, until somebody scrolls away from there."""

    following = True

    def on_resize(self) -> None:
        if self.following:
            self.scroll_end(animate=False, x_axis=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self.size.height:
            self.following = self.is_vertical_scroll_end


class ConsolePanel(Container):
    """The newest lines, following the log's end while that is in sight."""

    def __init__(self) -> None:
        super().__init__(id="console", classes="panel")
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._wanted = ""
        self._matches = 0

    def compose(self) -> ComposeResult:
        yield Input(placeholder=_("Search the log; Esc shows all of it"), id="search", compact=True)
        yield Quiet("matches")
        yield FollowingLog(id="log", max_lines=KEPT_LINES, highlight=False, auto_scroll=False)

    def on_mount(self) -> None:
        self.query_one("#search").display = False
        self._say()

    @property
    def log_view(self) -> FollowingLog:
        return self.query_one("#log", FollowingLog)

    def add(self, lines: Iterable[str]) -> None:
        """Take in new lines."""
        fresh = list(lines)
        self._lines.extend(fresh)
        self._write(fresh)

    def open_search(self) -> None:
        search = self.query_one("#search", Input)
        search.display = True
        search.focus()

    def close_search(self) -> None:
        search = self.query_one("#search", Input)
        search.value = ""
        search.display = False
        self.log_view.focus()

    @property
    def searching(self) -> bool:
        return bool(self.query_one("#search").display)

    @on(Input.Changed, "#search")
    def _search(self, event: Input.Changed) -> None:
        self._wanted, self._matches = event.value.casefold(), 0
        self.log_view.clear()
        self.log_view.following = True
        self._write(self._lines)

    @on(Input.Submitted, "#search")
    def _read(self) -> None:
        self.log_view.focus()

    def _write(self, lines: Iterable[str]) -> None:
        found = [line for line in lines if self._wanted in line.casefold()]
        self._matches += len(found)
        if found:
            self.log_view.write_lines(found, scroll_end=self.log_view.following)
        self._say()

    def _say(self) -> None:
        words = ""
        if self._wanted:
            words = plural("{count} line holds it", "{count} lines hold it", self._matches)
        elif not self._lines:
            words = _("Nothing was printed yet.")
        matches = self.query_one("#matches", Quiet)
        matches.display = bool(words)
        matches.show(Content.styled(words, "$foreground-muted"))
