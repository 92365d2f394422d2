"""Where runs, models and datasets live, and what each file system would do to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList

from finetty.tui.language import _, mark, plural, translate
from finetty.tui.screens.setup.state import present_places, short
from finetty.tui.screens.setup.steps import Choices, Keep, LookAtFolder, Onward, SetUpStep
from finetty.tui.text import padded, size, visible
from finetty.tui.widgets.field import Confirmed, Entry, Field, Typed
from finetty.tui.widgets.paths import PathSuggester, is_folder
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.machine.mounts import Place

WHAT = {
    "FINETTY_RUNS": mark("Your runs"),
    "HF_HUB_CACHE": mark("Models, datasets"),
    "FINETTY_CACHE": mark("Prepared models"),
}


class WherePlace(SetUpStep):
    step = "place"
    titled = mark("Where things live")

    def compose(self) -> ComposeResult:
        yield Prose("", id="present")
        yield Prose(_("Where should they live?"), classes="heading")
        yield Choices(id="places")
        entry = Entry("setup.folder", self.state.typed.get("setup.folder", ""), suggester=PathSuggester(is_folder))
        yield Field("setup.folder", entry, named=mark("Another folder"))
        yield Prose("", id="said")

    def first_control(self) -> Widget | None:
        return self.query_one(Choices)

    def show(self) -> None:
        self.query_one("#present", Prose).say(self._present())
        places = self.state.places
        lines = [(_name(place), self._line(place)) for place in places or ()]
        self.query_one(Choices).put(lines, self._first() if not self.query_one(Choices).lines else None)
        said = Content.styled(_("Looking at the disks …"), "$muted") if places is None else self.state.said
        self.query_one("#said", Prose).say(said)

    def _first(self) -> str | None:
        """What is highlighted at first: what was chosen before, else what is proposed."""
        chosen = self.state.settings.folder
        if chosen is None and self.state.settings.set_up:
            return "usual"
        return chosen

    def _present(self) -> Content:
        lines = []
        for name, folder, deciding in present_places():
            reason = _("{variable} says so").format(variable=deciding) if deciding else self._reason()
            shown = Content.styled(padded(_(WHAT[name]), 18), "$muted")
            lines.append(Content.assemble(shown, visible(short(folder)), "  ", (reason, "$muted")))
        return Content("\n").join(lines)

    def _reason(self) -> str:
        return _("chosen here") if self.state.settings.folder else _("as usual")

    def _line(self, place: Place) -> Content:
        sign = ("! ", "$text-warning") if place.drawbacks else ("✓ ", "$text-success")
        folder = _("The usual places in {home}").format(home=place.folder) if place.usual else str(place.folder)
        room = _("{free} of {total} free").format(free=size(place.free), total=size(place.total))
        tail = f"  {visible(place.filesystem)} · {room}"
        proposed = self.state.places is not None and place is self.state.places[0]
        mine = (_("proposed") + "  ", "bold $text-accent") if proposed else ""
        return Content.assemble(sign, mine, (visible(folder), "bold"), (tail, "$muted"))

    def about(self) -> tuple[str, list[Content]]:
        place = self._highlighted()
        if place is None or self.query_one(Entry).has_focus:
            text = _("Type a folder; Enter looks at its disk and lists it. Nothing is made before it is used.")
            return _("Another folder"), [Content(text), *self._stays()]
        found = [Content.styled("! " + visible(translate(said)), "$text-warning") for said in place.drawbacks]
        if place.persistent and place.locks:
            good = _("Neither memory nor a container's own layer, and file locks work here: both were just tried.")
            found.append(Content.assemble(("✓ ", "$text-success"), good))
        return visible(str(place.folder)), [*found, *self._decided(), *self._stays()]

    def _decided(self) -> Iterator[Content]:
        deciding = dict.fromkeys(one for _name, _folder, one in present_places() if one)
        if deciding:
            said = _("{variables} of your environment go before what is chosen here.")
            yield Content.styled("! " + said.format(variables=", ".join(deciding)), "$text-warning")

    def _stays(self) -> Iterator[Content]:
        here = self.state.holdings
        if here is None or not (here.runs or here.models):
            yield Content.styled(_("Nothing is there yet, and nothing is ever moved by itself."), "$muted")
            return
        runs = plural("{count} run", "{count} runs", here.runs)
        models = plural("{count} model", "{count} models", here.models)
        said = _("There now: {runs} and {models} ({size}). Nothing is moved by itself; move the folders if you wish.")
        yield Content.styled(said.format(runs=runs, models=models, size=size(here.size)), "$muted")

    def _highlighted(self) -> Place | None:
        chosen = self.query_one(Choices).chosen
        return next((place for place in self.state.places or () if _name(place) == chosen), None)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        place = self._highlighted()
        if place is not None:
            self.post_message(Keep(folder=None if place.usual else str(place.folder)))
            self.post_message(Onward())

    @on(Typed)
    def _typed(self, event: Typed) -> None:
        event.stop()
        self.state.typed["setup.folder"] = event.text

    @on(Confirmed)
    def _confirmed(self, event: Confirmed) -> None:
        event.stop()
        if folder := self.state.typed.get("setup.folder", "").strip():
            self.post_message(LookAtFolder(folder))
        else:
            self.query_one(Choices).focus()


def _name(place: Place) -> str:
    return "usual" if place.usual else str(place.folder)
