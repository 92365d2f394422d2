"""Talking to a run's result and its base side by side: the same question to both, each answer as it is written."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Static

from finetty.backend.messages import Refusal
from finetty.backend.results.exported import Talked, has_base
from finetty.tui.actions import bindings
from finetty.tui.base_app import BaseApp
from finetty.tui.conversation import SIDES, Conversation, Settings, save_transcript, take_setting
from finetty.tui.language import _, translate
from finetty.tui.screens.base import TranslatedScreen
from finetty.tui.styles import STYLES
from finetty.tui.talking import Hear, Talker, problem_words, talk_to
from finetty.tui.text import visible
from finetty.tui.widgets.figures import ascii_only
from finetty.tui.widgets.keybar import KeyBar

Open = Callable[[Talked, Hear], Talker]


class Heard(Message):
    """Something that the process with the model said."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__()
        self.said = said


class ChatScreen(TranslatedScreen[None]):
    """One question box, two columns. The model lives in a process of its own, which ends with the screen."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("chat")
    CSS_PATH = STYLES / "dashboard.tcss"

    def __init__(self, talked: Talked, settings: Settings | None = None, *, open_talker: Open = talk_to) -> None:
        super().__init__()
        self.talked, self.open_talker = talked, open_talker
        self.talker: Talker | None = None
        self.settings, self.conversation = settings or Settings(), Conversation()
        self.sides: tuple[str, ...] = SIDES if has_base(talked) else SIDES[:1]
        """Who is asked."""
        self.waiting: list[str] = []
        """Who has still to answer the question, the one who is answering first."""
        self.prompts: list[str] = []
        """Of a list that was opened, those that are still to be asked, each by itself."""
        self.ready = False
        self.text = ""
        """What has been written of the answer so far."""
        self.number = 0
        self.note = ""

    def compose(self) -> ComposeResult:
        yield Static(self._title(), id="chat-title", markup=False)
        with Horizontal(id="chat-sides"):
            for side in reversed(SIDES):
                with VerticalScroll(id=f"chat-{side}", classes="chat-side"):
                    yield Static(self._column(side), id=f"said-{side}", markup=False)
        yield Input(placeholder=_("Ask something; /help lists the settings"), id="chat-input")
        yield KeyBar()

    def on_mount(self) -> None:
        self.talker = self.open_talker(self.talked, self._post)
        self.query_one(Input).focus()
        self._show()

    def _post(self, said: dict[str, Any]) -> None:
        self.post_message(Heard(said))

    async def on_unmount(self) -> None:
        if self.talker:
            await to_thread(self.talker.close)

    async def redrawn(self) -> None:
        self._show()
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _ask(self, event: Input.Submitted) -> None:
        line = event.value.strip()
        if not line or self.waiting or not self.ready:
            return
        event.input.clear()
        self.note = ""
        if line.startswith("/"):
            self._set(line)
        else:
            self._question(line)
        self._show()

    def _question(self, text: str) -> None:
        self.conversation.ask(text, self.sides)
        self.waiting = [side for side in SIDES if side in self.sides]
        self._next()

    def action_prompts(self) -> None:
        if self.ready and not self.waiting:
            from finetty.tui.screens.load import LoadPrompts

            self.app.push_screen(LoadPrompts(), self._ask_all)

    def _ask_all(self, prompts: list[str] | None) -> None:
        if prompts and self.ready:
            self.prompts = prompts
            self._next_prompt()
            self._show()

    def _next_prompt(self) -> None:
        if self.prompts:
            self.conversation.forget()
            self._question(self.prompts.pop(0))

    def _set(self, line: str) -> None:
        try:
            take_setting(line, self.settings)
        except Refusal as refusal:
            self.note = translate(refusal.said)

    def _next(self) -> None:
        """Have the next side answer."""
        self.text = ""
        if self.waiting and self.talker:
            side = self.waiting[0]
            self.number += 1
            self.talker.ask(
                id=self.number,
                turns=self.conversation.turns(side, self.settings),
                base=side == "base",
                **self.settings.sampling(),
            )

    @on(Heard)
    def _hear(self, message: Heard) -> None:
        said = message.said
        if said.get("ready"):
            self.ready = True
        elif "ended" in said:
            self.ready, self.waiting, self.prompts = False, [], []
            self.note = _("The process with the model ended: {reason}").format(reason=visible(said["ended"]))
        elif "problem" in said:
            self.note = problem_words(said["problem"])
        elif said.get("id") == self.number and "piece" in said:
            self.text += said["piece"]
        elif said.get("id") == self.number and said.get("done"):
            self._finish(said)
        self._show()

    def _finish(self, said: dict[str, Any]) -> None:
        side = self.waiting.pop(0)
        self.conversation.answer(side, self.text.strip())
        speed = said["tokens"] / max(said["seconds"], 1e-6)
        self.note = _("{tokens} tokens, {speed} a second").format(tokens=said["tokens"], speed=f"{speed:.1f}")
        self._next()
        if not self.waiting:
            self._next_prompt()

    def _show(self) -> None:
        self.query_one("#chat-title", Static).update(self._title())
        for side in SIDES:
            column = self.query_one(f"#chat-{side}", VerticalScroll)
            column.display = side in self.sides
            self.query_one(f"#said-{side}", Static).update(self._column(side))
            column.scroll_end(animate=False)
        self.refresh_bindings()

    def _title(self) -> Content:
        how = _("greedy") if self.settings.temperature == 0 else _("temperature {value}").format(
            value=f"{self.settings.temperature:g}"
        )  # fmt: skip
        state = self.note or ("" if self.ready else _("Loading the model…"))
        if self.prompts:
            state += "  " + _("prompts left: {count}").format(count=len(self.prompts))
        return Content.assemble((visible(self.talked.id), "bold"), f"  {how}  ", (visible(state), "$text-warning"))

    def _column(self, side: str) -> Content:
        """What was said on this side, as text and as nothing else."""
        names = {"base": _("base"), "tuned": _("tuned")}
        sign = ">" if ascii_only() else "›"
        parts = [Content.styled(names[side], "bold $text-accent")]
        for role, text in self.conversation.said[side]:
            shown = visible(text)
            parts.append(Content.styled(f"{sign} {shown}", "bold") if role == "user" else Content(shown + "\n"))
        if self.waiting and self.waiting[0] == side:
            parts.append(Content(visible(self.text) + ("_" if ascii_only() else "▌")))
        return Content("\n").join(parts)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A merged model has one side only."""
        return False if action == "sides" and not has_base(self.talked) else super().check_action(action, parameters)

    def action_sides(self) -> None:
        """Both, then one, then the other; a side that was not asked keeps its own conversation."""
        choices: list[tuple[str, ...]] = [SIDES, ("tuned",), ("base",)]
        if not self.waiting and has_base(self.talked):
            self.sides = choices[(choices.index(self.sides) + 1) % len(choices)]
            self._show()

    def action_temperature(self) -> None:
        self.settings.next_temperature()
        self._show()

    def action_anew(self) -> None:
        if not self.waiting:
            self.conversation, self.note = Conversation(), ""
            self._show()

    def action_save_talk(self) -> None:
        try:
            path = save_transcript(self.talked, self.conversation, self.settings)
            self.note = _("Saved: {path}").format(path=path)
        except Refusal as refusal:
            self.note = translate(refusal.said)
        self._show()

    def action_close(self) -> None:
        """End the answer first: what was written of it stays, and the other side is not asked any more."""
        if self.waiting and self.talker:
            del self.waiting[1:]
            self.prompts = []
            self.talker.stop()
        else:
            self.dismiss(None)

    def help_on_focus(self) -> tuple[str, list[Content]]:
        about = _(
            "The same question goes to the base model and to the tuned one; each keeps its own conversation. "
            "/temperature, /top-p, /longest and /system, typed as a question, change how they answer. "
            "A list of prompts is a text file with one on each line; each is asked by itself."
        )
        return _("Talk"), [Content(about)]


class ChatApp(BaseApp[None]):
    """The conversation alone, for `finetty chat`."""

    def __init__(self, talked: Talked, settings: Settings | None = None, *, open_talker: Open = talk_to) -> None:
        super().__init__()
        self.talked_to, self.settings, self.open_talker = talked, settings, open_talker

    def get_default_screen(self) -> Screen[None]:
        return Screen()

    async def on_mount(self) -> None:
        screen = ChatScreen(self.talked_to, self.settings, open_talker=self.open_talker)
        await self.push_screen(screen, lambda _closed: self.exit())

    def leave_screen(self, screen: Screen[Any]) -> None:
        self.exit()
