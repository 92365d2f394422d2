"""The end of the set-up: what was chosen, and the demo as a proof that this machine trains."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList

from finetty.backend.models import sites
from finetty.tui.language import _, mark
from finetty.tui.machine_words import machine_line
from finetty.tui.screens.setup.state import present_places, short
from finetty.tui.screens.setup.steps import Choices, End, SetUpStep
from finetty.tui.text import padded, visible
from finetty.tui.widgets.prose import Prose

ENDINGS = {
    "demo": (mark("Start with the demo"), mark("about five minutes: a small real model learns a new habit")),
    "new": (mark("Tune my own data"), mark("choose a model and a file of rows")),
    "home": (mark("To the first screen"), mark("demo, new run and this set-up are there too")),
}


class Ending(SetUpStep):
    step = "demo"
    titled = mark("Demo")

    def compose(self) -> ComposeResult:
        yield Prose("", id="summary")
        yield Prose(_("Does this machine train? Let it show you."), classes="heading")
        yield Choices(id="endings")
        yield Prose("", id="said")

    def first_control(self) -> Widget | None:
        return self.query_one(Choices)

    def show(self) -> None:
        self.query_one("#summary", Prose).say(self._summary())
        lines = [
            (name, Content.assemble((_(label), "bold"), "  ", (_(about), "$muted")))
            for name, (label, about) in ENDINGS.items()
        ]
        self.query_one(Choices).put(lines)
        self.query_one("#said", Prose).say(self.state.said)

    def _summary(self) -> Content:
        machine = self.state.machine
        source = sites.modelscope() if sites.prefers_modelscope() else sites.hub()
        lines = [
            (_("Machine"), machine_line(machine) if machine else _("Looking at this machine …")),
            (_("Your runs"), visible(short(present_places()[0][1]))),
            (_("Models"), visible(short(present_places()[1][1]))),
            (_("Source"), visible(sites.host_of(source))),
        ]
        return Content("\n").join([Content.assemble((padded(name, 12), "$muted"), text) for name, text in lines])

    def about(self) -> tuple[str, list[Content]]:
        first = _(
            "SmolLM2, a model of 135 million parameters, learns from 120 questions and answers to reply in a form"
            " that it never uses by itself. Everything is filled in; you read along, and press Start at the end."
        )
        second = _("Its answers before and after are shown side by side, so that you see that it learned.")
        return _("What the demo does"), [Content(first), Content(second)]

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(End(event.option.id or "home"))
