"""Three rows, each with the answer that is wanted and the one that the base model gives, as it is written."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message

from finetty.tui.actions import bindings
from finetty.tui.base_answers import LONGEST, ROWS, question, rows_from
from finetty.tui.language import _
from finetty.tui.screens.base import BREADTHS, HEIGHTS, TranslatedScreen
from finetty.tui.talking import Hear, Talker, problem_words, talk_to_base
from finetty.tui.text import count, visible
from finetty.tui.widgets.figures import ascii_only
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.conversation import Row
    from finetty.backend.planning.plan import Plan

LONGEST_SHOWN = 2_000
"""Characters of a question or answer."""
Open = Callable[["Plan", Hear], Talker]


class BaseAnswers(TranslatedScreen[None]):
    """The model lives in a process of its own, which ends with the screen, whatever it is doing."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("answers")
    CSS_PATH = "../styles/preview.tcss"
    HORIZONTAL_BREAKPOINTS = BREADTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    class Heard(Message):
        """Something that the process with the model said."""

        def __init__(self, said: dict[str, Any]) -> None:
            self.said = said
            super().__init__()

    def __init__(self, plan: Plan, rows: Sequence[Row], at: int, *, open_talker: Open = talk_to_base) -> None:
        super().__init__()
        self.plan, self.rows, self.open_talker = plan, rows, open_talker
        self.places = rows_from(len(rows), at)
        """The rows that are shown."""
        self.said: dict[int, str] = {}
        """What the base has said so far, by the row's place."""
        self.done: set[int] = set()
        self.talker: Talker | None = None
        self.ready = False
        self.ended = False
        """Whether the process is gone, and with it the answer that it was giving."""
        self.problem = ""
        self.number = 0
        self.asked: int | None = None
        """The row that is being answered."""

    def compose(self) -> ComposeResult:
        yield Prose("", id="title")
        with VerticalScroll(id="row"):
            for index in range(ROWS):
                yield Prose("", id=f"asked-{index}", classes="asked")
                with Horizontal(classes="both"):
                    yield Prose("", id=f"wanted-{index}", classes="wanted")
                    yield Prose("", id=f"base-{index}", classes="base")
        yield KeyBar()

    def on_mount(self) -> None:
        self._open()
        self.query_one("#row").focus()
        self.draw()

    def _open(self) -> None:
        self.talker, self.problem = self.open_talker(self.plan, self._post), ""

    async def redrawn(self) -> None:
        self.query_one("#row").focus()
        self.draw()

    def _post(self, said: dict[str, Any]) -> None:
        self.post_message(self.Heard(said))

    async def on_unmount(self) -> None:
        if self.talker is not None:
            await to_thread(self.talker.close)

    @on(Heard)
    def _hear(self, event: Heard) -> None:
        said = event.said
        if said.get("ready"):
            self.ready = True
            self._next()
        elif "ended" in said:
            self.ready, self.ended, self.asked = False, True, None
            told = _("The process with the model ended: {reason}").format(reason=visible(said["ended"]))
            self.problem = self.problem or told
            self.refresh_bindings()
        elif "id" not in said:
            self.problem = problem_words(said["problem"])
        elif said["id"] == self.number:
            self._take(said)
        self.draw()

    def _take(self, said: dict[str, Any]) -> None:
        """A piece of the answer that is being given, why there is none, or its end; what was stopped is dropped."""
        if self.asked is not None:
            self.said[self.asked] += said.get("piece", "")
            if "problem" in said:
                self.said[self.asked] = f"✗ {problem_words(said['problem'])}"
        if said.get("done"):
            if self.asked is not None:
                self.done.add(self.asked)
            self.asked = None
            self._next()

    def _next(self) -> None:
        """Have the next row answered that is shown and was not."""
        waiting = [place for place in self.places if place not in self.done]
        if not waiting or self.talker is None or not self.ready:
            return
        self.asked, self.problem = waiting[0], ""
        self.number += 1
        self.said[self.asked] = ""
        row = self.rows[self.asked]
        turns = [[t.role, t.content, t.reasoning, list(t.tool_calls), t.name, t.call_id] for t in row.asked]
        how = {"base": True, "temperature": 0.0, "top_p": 1.0, "longest": LONGEST}
        self.talker.ask(id=self.number, turns=turns, tools=list(row.tools), **how)

    def action_more_rows(self) -> None:
        """The next three; an answer that is being written is ended."""
        self.places = rows_from(len(self.rows), self.places[-1] + 1)
        if self.asked is not None and self.talker is not None:
            self.talker.stop()
            self.asked = None
        else:
            self._next()
        self.query_one("#row", VerticalScroll).scroll_home(animate=False)
        self.draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.ended or action != "ask_again"

    async def action_ask_again(self) -> None:
        """Another process, which goes on with the row that has no whole answer."""
        self.ended = False
        if self.talker is not None:
            await to_thread(self.talker.close)
        self._open()
        self.refresh_bindings()
        self.draw()

    def action_close(self) -> None:
        self.dismiss()

    # Drawing

    def fill(self) -> None:
        self.query_one("#title", Prose).say(self._title())
        for index in range(ROWS):
            place = self.places[index] if index < len(self.places) else None
            asked, wanted, base = (Content(""),) * 3 if place is None else self._drawn(place)
            self.query_one(f"#asked-{index}", Prose).say(asked)
            self.query_one(f"#wanted-{index}", Prose).say(wanted)
            self.query_one(f"#base-{index}", Prose).say(base)

    def _title(self) -> Content:
        if self.problem:
            again = _("r asks again.") if self.ended else ""
            return Content.styled(f"✗ {visible(self.problem)}  {again}", "$text-error")
        waits = "" if self.ready else _("Loading the model…")
        title = (_("The base model's answers, before it is trained"), "bold $text-accent")
        return Content.assemble(title, "  ", (waits, "$text-warning"))

    def _drawn(self, place: int) -> tuple[Content, Content, Content]:
        row = self.rows[place]
        number = Content.styled(_("Row {at}").format(at=count(place + 1)) + "  ", "bold $text-accent")
        asked = Content.assemble(number, (visible(question(row)[:LONGEST_SHOWN]), "bold"))
        wanted = Content.assemble((_("wanted") + "\n", "$text-success"), visible(row.wanted[:LONGEST_SHOWN]))
        said = visible(self.said.get(place, "").strip()[:LONGEST_SHOWN])
        if self.asked == place:
            said += "_" if ascii_only() else "▌"
        return asked, wanted, Content.assemble((_("base") + "\n", "$text-warning"), said)

    def help_on_focus(self) -> tuple[str, list[Content]]:
        about = _(
            "What the model answers to your own rows before anything is trained, word by word, beside the answers that "
            "it shall learn. Where both are alike already, there is little to learn. The model is in a process of its "
            "own and leaves the memory with this screen."
        )
        return _("The base model's answers"), [Content(about)]
