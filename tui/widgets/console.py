"""What the libraries print: the end of the console log, and a search that marks what it finds and goes through it."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from rich.highlighter import Highlighter
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.strip import Strip
from textual.widgets import Input, Log

from finetty.tui.language import _
from finetty.tui.widgets.figures import Quiet

KEPT_LINES = 5000
MARKED, MARKED_HERE = "bold underline", "bold reverse"
"""How a match looks, and one in the line that was gone to: also without colour."""


class Marker(Highlighter):
    """Marks what is searched in the line that is drawn."""

    def __init__(self) -> None:
        self.wanted: re.Pattern[str] | None = None
        self.here = False

    def highlight(self, text: Text) -> None:
        for match in self.wanted.finditer(text.plain) if self.wanted else ():
            text.stylize(MARKED_HERE if self.here else MARKED, *match.span())


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


class SearchedLog(FollowingLog):
    """A log with what is searched marked in it."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name, max_lines=KEPT_LINES, highlight=True, auto_scroll=False)
        self.highlighter: Marker = Marker()
        self.at: int | None = None
        """The line that the search went to, counted from the first one that is kept."""

    def render_line(self, y: int) -> Strip:
        self.highlighter.here = self.scroll_offset.y + y == self.at
        return super().render_line(y)

    def go_to(self, line: int, match: re.Match[str] | None) -> None:
        """Bring a line into the middle, and its match into sight."""
        width, height = self.scrollable_content_region.size
        right = 0 if match is None or match.end() < width else match.end() - width // 2
        self.at = line
        self.scroll_to(right, max(0, line - height // 2), animate=False)
        self.refresh()


class ConsolePanel(Container):
    """The newest lines, following the log's end while that is in sight."""

    def __init__(self) -> None:
        super().__init__(id="console", classes="panel")
        self.found: list[int] = []
        """The lines that hold what is searched. Lines are counted from the first that ever came."""
        self._at: int | None = None
        """Which of them was gone to."""
        self._came = 0

    def compose(self) -> ComposeResult:
        with Horizontal(id="searching"):
            yield Input(placeholder=_("Search the log; Enter reads on, Esc ends it"), id="search", compact=True)
            yield Quiet("matches")
        yield SearchedLog("log")

    def on_mount(self) -> None:
        self.query_one("#search").display = False
        self._say()

    @property
    def log_view(self) -> SearchedLog:
        return self.query_one("#log", SearchedLog)

    def add(self, lines: Iterable[str]) -> None:
        """Take in new lines."""
        fresh, log = list(lines), self.log_view
        wanted = log.highlighter.wanted
        if wanted:
            self.found += [self._came + place for place, line in enumerate(fresh) if wanted.search(line)]
        self._came += len(fresh)
        if fresh:
            log.write_lines(fresh, scroll_end=log.following)
        del self.found[: bisect_left(self.found, self._gone)]
        log.at = None if self._at is None else self._at - self._gone
        self._say()

    def open_search(self) -> None:
        search = self.query_one("#search", Input)
        search.display = True
        search.focus()
        self._say()

    def close_search(self) -> None:
        """The log as it was, at the line that was gone to."""
        search = self.query_one("#search", Input)
        search.value = ""
        search.display = False
        self.log_view.focus()

    @property
    def searching(self) -> bool:
        return bool(self.query_one("#search").display)

    def step(self, by: int) -> None:
        """Go to the next line that holds what is searched, or back to the one before; round at the ends."""
        if self.found:
            at = -1 if self._at is None else self._at
            place = bisect_right(self.found, at) if by > 0 else bisect_left(self.found, at) - 1
            self._go_to(self.found[place % len(self.found)])

    @property
    def _gone(self) -> int:
        """How many lines came before the first that is kept."""
        return self._came - len(self.log_view.lines)

    @on(Input.Changed, "#search")
    def _search(self, event: Input.Changed) -> None:
        """What is typed is text, whatever signs it has; the newest line that holds it comes first."""
        wanted = re.compile(re.escape(event.value), re.IGNORECASE) if event.value else None
        log = self.log_view
        log.highlighter.wanted = wanted
        lines = enumerate(log.lines, self._gone)
        self.found = [place for place, line in lines if wanted and wanted.search(line)]
        self._at = log.at = None
        if self.found:
            self._go_to(self.found[-1])
        log.refresh()
        self._say()

    @on(Input.Submitted, "#search")
    def _read(self) -> None:
        self.log_view.focus()

    def _go_to(self, line: int) -> None:
        log = self.log_view
        self._at, kept = line, line - self._gone
        wanted = log.highlighter.wanted
        log.go_to(kept, wanted.search(log.lines[kept]) if wanted else None)
        self._say()

    def _say(self) -> None:
        words = ""
        if self.log_view.highlighter.wanted:
            place = bisect_right(self.found, -1 if self._at is None else self._at)
            words = _("{place} of {count} lines: n next, N before").format(place=place, count=len(self.found))
            words = words if self.found else _("no line holds it")
        elif not self._came:
            words = _("Nothing was printed yet.")
        matches = self.query_one("#matches", Quiet)
        matches.show(Content.styled(words, "$foreground-muted"))
        self.query_one("#searching").display = bool(words) or self.searching
        self.screen.refresh_bindings()
