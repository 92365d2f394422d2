"""What this machine has and lacks, and the command that mends each lack, run only where a person says yes to it."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import join

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList

from finetty.backend.machine.mending import Lack
from finetty.tui.guide import explanation
from finetty.tui.language import _, mark, translate
from finetty.tui.machine_words import ACCELERATORS, host_lines, usable_lines
from finetty.tui.screens.about import explained
from finetty.tui.screens.setup.steps import Choices, Mend, Onward, SetUpStep
from finetty.tui.text import visible
from finetty.tui.widgets.prose import Prose

NAMES = {**ACCELERATORS, "torch": "torch", "driver": mark("NVIDIA driver")}
EXPLAINED = {
    "kernels": ("acceleration.attention", "fa2"),
    "flash_attn": ("acceleration.attention", "fa2"),
    "flash_attn_interface": ("acceleration.attention", "fa3"),
    "unsloth": ("acceleration.unsloth", "true"),
    "liger_kernel": ("acceleration.liger", "true"),
    "bitsandbytes": ("precision.quantization", "nf4"),
}
"""Where the guide explains what is lacking: option and value."""
ONWARD = "onward"


class Machine(SetUpStep):
    step = "machine"
    titled = mark("This machine")

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="facts", can_focus=False):
            yield Prose("", id="facts-text")
        yield Prose(_("What is missing, and can be installed"), classes="heading")
        yield Choices(id="lacks")
        yield Prose("", id="said")

    def first_control(self) -> Widget | None:
        return self.query_one(Choices)

    def show(self) -> None:
        self.query_one("#facts-text", Prose).say(self._facts())
        self.query_one(Choices).put(list(self._lines()))
        said = _("Trying what was installed …") if self.state.trying else self.state.said
        self.query_one("#said", Prose).say(said)

    def _facts(self) -> Content:
        machine = self.state.machine
        if machine is None:
            return Content(_("Looking at this machine …"))
        return Content("\n").join([*host_lines(machine), *usable_lines(machine)])

    def _lines(self) -> Iterator[tuple[str, Content]]:
        urgent = any(lack.urgent for lack in self.state.lacks)
        onward = _("Go on without it; it can be done later") if urgent else _("Go on; nothing here is needed to train")
        lines = {lack.name: self._line(lack) for lack in self.state.lacks}
        first = [(ONWARD, Content(onward))]
        yield from [*lines.items(), *first] if urgent else [*first, *lines.items()]

    def _line(self, lack: Lack) -> Content:
        sign = ("✗ ", "$text-error") if lack.urgent else ("· ", "$muted")
        name = Content.styled(_(NAMES[lack.name]), "bold")
        what = (_("Enter shows the command that installs it"), "$text-accent")
        if lack.command is None:
            what = (visible(translate(lack.note or lack.reason)), "$muted")
        return Content.assemble(sign, name.pad_right(max(1, 17 - name.cell_length)), what)

    def about(self) -> tuple[str, list[Content]]:
        lack = self._highlighted()
        if lack is None:
            text = _("Nothing is run unasked: the exact command is shown first, and its output while it runs.")
            more = _("finetty holds every package that is here at its version, so that nothing replaces torch.")
            return _("Installed by your own pip"), [Content(text), Content(more)]
        return _(NAMES[lack.name]), [part for part in self._about(lack) if part.plain]

    def _about(self, lack: Lack) -> Iterator[Content]:
        yield Content.styled(visible(translate(lack.reason)), "$text-error" if lack.urgent else "$text-warning")
        if lack.command is not None:
            yield Content.styled(visible(join(lack.command)), "$text-accent")
        if lack.note is not None:
            yield Content(visible(translate(lack.note)))
        known = explanation(*EXPLAINED[lack.name]) if lack.name in EXPLAINED else None
        if known is not None:
            yield from explained(known)
        elif lack.name == "gptqmodel":
            yield Content(_("Trains adapters on models that were published in 4 or 8 bits as GPTQ or AWQ."))

    def _highlighted(self) -> Lack | None:
        chosen = self.query_one(Choices).chosen
        return next((lack for lack in self.state.lacks if lack.name == chosen), None)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        lack = self._highlighted()
        if lack is None:
            self.post_message(Onward())
        elif lack.command is not None and not self.state.trying:
            self.post_message(Mend(lack))
