"""The first step: a model, named, or taken from those on this machine and in the catalogue."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option as Line
from textual.worker import get_current_worker

from finetty.tui.actions import bindings
from finetty.tui.language import _, mark, plural, translate
from finetty.tui.screens.about import About
from finetty.tui.screens.choose import Asked, Choice, Choose
from finetty.tui.screens.steps import Step
from finetty.tui.text import count, short_count, size, visible
from finetty.tui.widgets.field import Confirmed, Entry, Field, Typed
from finetty.tui.widgets.options import Options
from finetty.tui.widgets.outlook import VERDICT_SIGNS, finding_lines
from finetty.tui.widgets.paths import PathSuggester, is_folder
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.models.facts import ModelFacts
    from finetty.backend.planning.needs import Need
    from finetty.tui.shelf import Found, Offer, Shelf
    from finetty.tui.wanted import Wanted


class ModelStep(Step):
    """One line to type a path, a name or words of a name; below it the models that they find."""

    step = "model"
    titled = mark("Model")
    fields = ("model.path",)
    BINDINGS: ClassVar[list[BindingType]] = bindings("model")
    found: Found | None = None
    listed = False
    """Whether the models were asked for since the machine is known."""

    class Listed(Message):
        """The models for what is wanted were found."""

        def __init__(self, found: Found) -> None:
            self.found = found
            super().__init__()

    def compose(self) -> ComposeResult:
        typed = self.state.draft.text("model.path")
        path = Entry(
            "model.path",
            typed,
            hint=_("a folder, a name, or words to find one"),
            suggester=PathSuggester(is_folder, []),
        )
        yield Field("model.path", path)
        yield Prose("", id="model-facts")
        yield Prose(_("Looking at this machine …"), classes="heading", id="models-heading")
        yield Options(id="models", markup=False, compact=True)

    def on_mount(self) -> None:
        self.state.wanted = replace(self.state.wanted, words="")
        self.list_models()

    # What is wanted

    @on(Typed)
    def _words(self, event: Typed) -> None:
        """A text that is no path narrows the list."""
        words = "" if _is_path(event.text) else event.text.strip()
        self._want(replace(self.state.wanted, words=words))

    def action_only_fitting(self) -> None:
        self._want(replace(self.state.wanted, fits=not self.state.wanted.fits))

    def action_tag(self) -> None:
        if self.state.shelf is not None:
            self.app.push_screen(Choose(partial(self._tags, self.state.shelf)), self._take_tag)

    def _tags(self, shelf: Shelf) -> Asked:
        from finetty.backend.models import TAGS

        letters = iter("abcdefghijklmnopqrstuvwxyz")
        choices = [Choice("", next(letters), _("Any tag"))]
        for tag, carried in shelf.tags().items():
            if tag in TAGS and len(choices) < len("abcdefghijklmnopqrstuvwxyz"):
                meaning = re.split(r"[.:;。：；]", translate(TAGS[tag].meaning()))[0]
                choices.append(Choice(tag, next(letters), tag, f"{carried} · {meaning}"))
        return _("Which models?"), "", choices

    def _take_tag(self, tag: str | None) -> None:
        if tag is not None:
            self._want(replace(self.state.wanted, tag=tag or None))

    def _want(self, wanted: Wanted) -> None:
        if wanted != self.state.wanted:
            self.state.wanted = wanted
            self.list_models()

    # The list

    def list_models(self) -> None:
        """Find the models for what is wanted; what is being typed meanwhile stays."""
        if self.state.shelf is not None:
            self.listed = True
            self.query_one(Entry).suggester = PathSuggester(is_folder, [model.path for model in self.state.shelf.local])
            self._find(self.state.wanted)

    @work(thread=True, exclusive=True, group="models")
    def _find(self, wanted: Wanted) -> None:
        worker, shelf = get_current_worker(), self.state.shelf
        if shelf is None:
            return
        found = shelf.find(wanted, lambda: worker.is_cancelled)
        if not worker.is_cancelled:
            self.post_message(self.Listed(found))

    @on(Listed)
    def _list(self, event: Listed) -> None:
        event.stop()
        self.found = event.found
        models = self.query_one("#models", OptionList)
        models.clear_options()
        models.add_options([Line(_line(offer)) for offer in event.found.offers])
        if event.found.more:
            models.add_option(Line(Content.styled(_("and more: type words of a name"), "$muted"), disabled=True))
        self.query_one("#models-heading", Prose).say(_heading(event.found))
        self.show()

    @property
    def highlighted(self) -> Offer | None:
        """The model of the list that has the cursor, while the list has the focus."""
        models = self.query_one("#models", OptionList)
        if not models.has_focus or self.found is None or models.highlighted is None:
            return None
        return self.found.offers[models.highlighted] if models.highlighted < len(self.found.offers) else None

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        """One that is here is the answer; one that is not is named, and the next Enter downloads it."""
        event.stop()
        if self.found is None or event.option_index >= len(self.found.offers):
            return
        offer = self.found.offers[event.option_index]
        self.query_one(Entry).put(offer.path)
        if self.parent is not None:
            self.parent.post_message(Typed("model.path", offer.path))
        if offer.local is not None:
            self.post_message(Confirmed())
        else:
            self.query_one(Entry).focus()

    @property
    def searching(self) -> bool:
        """Whether what is typed are words that found models, rather than a model's name."""
        words, typed = self.state.wanted.words, self.state.draft.text("model.path")
        if not words or words != typed or "/" in words or self.found is None or self.found.wanted.words != words:
            return False
        return any(offer.path != words for offer in self.found.offers) and self.state.known.model.facts is None

    def enter_list(self) -> None:
        models = self.query_one("#models", OptionList)
        models.focus()
        models.highlighted = 0

    # Drawing

    def show(self) -> None:
        if not self.listed:
            self.list_models()
        self.query_one(Field).show(self.state.draft.text("model.path"))
        self.query_one("#model-facts", Prose).say(self._facts())

    def _facts(self) -> Content:
        read, path = self.state.known.model, self.state.draft.recipe.model.path
        if self.state.fetching is not None:
            return Content.styled(visible(translate(self.state.fetching)), "$text-accent")
        if self.searching:
            return Content.styled(_("↓ goes to the models that were found"), "$text-accent")
        if path and read.key[0] != path:
            return Content.styled(_("reading …"), "$muted")
        found = [Content.assemble(("✓ ", "$text-success"), visible(model_words(read.facts)))] if read.facts else []
        faults = self.state.findings_for("model.path") if path else ()
        hint = [Content.styled(self._download_words(), "bold $text-accent")] if self.state.can_fetch else []
        return Content("\n").join([*found, *finding_lines(faults, fixes=not hint), *hint])

    def _download_words(self) -> str:
        """That Enter downloads it, with its size against the disk."""
        size_known, machine = self.state.known.model.download_bytes, self.state.known.machine
        if size_known is None or machine is None:
            return _("↵ downloads it now, while you go on")
        return _("↵ downloads it, ≈ {size} of {free} free on the disk, while you go on").format(
            size=size(size_known), free=size(models_disk_free())
        )

    def about_highlighted(self) -> About | None:
        """What is known of the model under the cursor, what it needs here, and what its tags mean."""
        from finetty.backend.models import TAGS

        offer, shelf = self.highlighted, self.state.shelf
        if offer is None or shelf is None:
            return None
        tags = [
            Content.assemble((f"{tag}  ", "bold $text-accent"), translate(TAGS[tag].meaning()))
            for tag in offer.tags
            if tag in TAGS
        ]
        needed = needs_line(shelf.needs(offer))
        if offer.refused:
            needed = Content.styled("✗ " + visible(translate(offer.refused)), "$text-error")
        parts = [Content(offer_words(offer)), needed, *tags]
        return About(visible(offer.path), [part for part in parts if part.plain])


def models_disk_free() -> int:
    """Bytes free where a downloaded model is put."""
    from finetty.backend.machine.host import disk_free
    from finetty.backend.models.places import hub_cache

    return disk_free(hub_cache())


def _is_path(text: str) -> bool:
    from finetty.backend.models.places import is_folder_name

    try:
        return is_folder_name(text.strip())
    except (OSError, ValueError, RuntimeError):
        return True


def _heading(found: Found) -> str:
    shown = len(found.offers)
    several = _("the first {count} models").format(count=shown)
    counted = several if found.more else plural("{count} model", "{count} models", shown)
    narrowed = [found.wanted.tag or "", _("that fit this machine") if found.wanted.fits else ""]
    return " · ".join(part for part in (counted, *narrowed) if part)


def _line(offer: Offer) -> Content:
    """Name, whether it is here, size and tags, in one line."""
    here = Content.assemble(("✓ ", "$text-success")) if offer.local else Content("  ")
    known = size(offer.file_bytes) if offer.local else short_count(offer.parameters) if offer.parameters else ""
    about = " ".join(part for part in (known, *offer.tags) if part)
    return Content.assemble(here, (visible(offer.path), "bold"), (f"  {about}", "$muted"))


def offer_words(offer: Offer) -> str:
    """Parameters, context, licence, whether access must be asked for, and the size of its files."""
    entry = offer.entry
    parts = [_("{count} parameters").format(count=short_count(offer.parameters)) if offer.parameters else ""]
    if entry is not None:
        if entry.context_length:
            parts.append(_("{count} tokens of context").format(count=count(entry.context_length)))
        parts.append(visible(entry.licence or _("licence not known")))
        parts.append(_("gated: its owner must grant you access on the Hub") if entry.gated else "")
    if offer.file_bytes is not None:
        here = _("{size} on this machine") if offer.local else _("≈ {size} to download")
        parts.append(here.format(size=size(offer.file_bytes)))
    return " · ".join(part for part in parts if part)


def needs_line(needs: tuple[Need, ...]) -> Content:
    """What each way of tuning it takes at the least, and whether that fits."""
    parts = [
        f"{need.way} ≈ {size(need.memory.live.process)} {VERDICT_SIGNS[need.memory.verdict]}"
        for need in needs
        if need.memory.live is not None
    ]
    if not parts:
        return Content("")
    return Content.styled(_("Needs at the least:") + " " + " · ".join(parts), "bold")


def model_words(facts: ModelFacts) -> str:
    """A model's facts in a line: class, size, format, context, tags."""
    stored = facts.stored_dtype or facts.quantization or ""
    parts = [facts.architecture, facts.name, short_count(facts.parameters), stored]
    if facts.context_length:
        parts.append(_("{count} tokens of context").format(count=count(facts.context_length)))
    return " · ".join(part for part in (*parts, " ".join(facts.tags)) if part)
