"""Where models come from: the Hub, a mirror of it, or ModelScope; and the token for the Hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget

from finetty.backend.models import sites
from finetty.backend.models.login import has_token, token_path
from finetty.backend.models.sources import wants_no_network
from finetty.backend.settings import said_by
from finetty.tui.language import _, mark
from finetty.tui.screens.setup.state import SetUpState, source_of, source_values
from finetty.tui.screens.setup.steps import Keep, KeepToken, Knock, Named, Onward, SetUpStep
from finetty.tui.text import visible
from finetty.tui.widgets.field import Answered, Confirmed, Entry, Field, Typed
from finetty.tui.widgets.prose import Prose

SOURCES = {
    "huggingface": mark("Hugging Face"),
    "mirror": mark("a mirror"),
    "modelscope": mark("ModelScope"),
}
EXAMPLE = "https://hf-mirror.com"


class Source(SetUpStep):
    step = "source"
    titled = mark("Where models come from")

    def compose(self) -> ComposeResult:
        names = {value: _(name) for value, name in SOURCES.items()}
        yield Field("setup.source", Named("setup.source", names, chosen_source(self.state)), named=mark("Source"))
        typed = self.state.typed.get("setup.mirror", self.state.settings.mirror or "")
        yield Field("setup.mirror", Entry("setup.mirror", typed, hint=EXAMPLE), named=mark("Mirror"))
        token = Entry("setup.token", self.state.typed.get("setup.token", ""), hint=_("none is needed for open models"))
        token.password = True
        yield Field("setup.token", token, named=mark("Token"))
        yield Prose("", id="reached")
        yield Prose("", id="said")

    def on_mount(self) -> None:
        self.post_message(Knock())

    def first_control(self) -> Widget | None:
        return self.query_one("#control-setup-source")

    def show(self) -> None:
        source = chosen_source(self.state)
        fields = {field.option: field for field in self.query(Field)}
        fields["setup.mirror"].display = source == "mirror"
        fields["setup.token"].display = source != "modelscope"
        fields["setup.token"].note(self._token_note())
        wrong = source == "mirror" and typed_mirror(self.state) is None
        fields["setup.mirror"].note(_("an address, as {example}").format(example=EXAMPLE) if wrong else "")
        self.query_one("#reached", Prose).say(Content("\n").join(list(self._reached())))
        self.query_one("#said", Prose).say(self.state.said)

    def _token_note(self) -> str:
        if os.environ.get("HF_TOKEN"):
            return _("HF_TOKEN gives one")
        return _("one is kept here") if has_token() else ""

    def _reached(self) -> Iterator[Content]:
        if wants_no_network():
            yield Content.styled(_("HF_HUB_OFFLINE is set: no site is asked."), "$text-warning")
            return
        for site in wanted_sites(self.state):
            host = visible(sites.host_of(site))
            answered = self.state.reached.get(site)
            if answered is None:
                yield Content.styled(_("· asking {host} …").format(host=host), "$muted")
            elif answered:
                yield Content.styled(_("✓ {host} answers").format(host=host), "$text-success")
            else:
                yield Content.styled(_("✗ {host} does not answer").format(host=host), "$text-error")

    def about(self) -> tuple[str, list[Content]]:
        focused = getattr(self.screen.focused, "option", "")
        parts = {"setup.mirror": self._about_mirror, "setup.token": self._about_token}.get(focused, self._about_source)
        title = {"setup.mirror": _("Mirror"), "setup.token": _("Token")}.get(focused, _("Source"))
        return title, [Content(text) for text in parts() if text]

    def _about_source(self) -> Iterator[str]:
        source = chosen_source(self.state)
        if source == "modelscope":
            yield _("Models come from www.modelscope.cn first; good where the Hub is slow or cannot be reached.")
            yield _("A token of ModelScope's goes into MODELSCOPE_API_TOKEN; open models need none.")
        elif source == "mirror":
            yield _("A site that gives out the Hub's models under an address of its own, near you.")
        else:
            yield _("Most models are published on the Hub, huggingface.co. Where only ModelScope answers, it is taken.")
        if not any(self.state.reached.get(site, True) for site in wanted_sites(self.state)):
            yield _(
                "Where none of them answers, copy the folders of models to this machine and name those. The demo's"
                " model also comes from PyPI."
            )
        deciding = said_by("HF_ENDPOINT") or said_by("FINETTY_SOURCE")
        if deciding:
            yield _("{variables} of your environment go before what is chosen here.").format(variables=deciding)

    def _about_mirror(self) -> Iterator[str]:
        yield _("The address that stands in place of https://huggingface.co. Take only one that you trust.")
        yield _("A token that is kept here is sent to the mirror with every download.")

    def _about_token(self) -> Iterator[str]:
        host = sites.host_of(sites.hub())
        yield _("Only models with a licence to accept, and private ones, need it: {site}/settings/tokens").format(
            site=sites.hub()
        )
        yield _("Enter asks {host} whose it is and keeps it in {path}, where huggingface_hub reads it.").format(
            host=visible(host), path=visible(str(token_path()))
        )

    @on(Answered)
    def _answered(self, event: Answered) -> None:
        event.stop()
        self.state.typed["setup.source"] = event.value
        self.take()
        self.post_message(Knock())

    @on(Typed)
    def _typed(self, event: Typed) -> None:
        event.stop()
        self.state.typed[event.option] = event.text
        self.show()

    @on(Confirmed)
    def _confirmed(self, event: Confirmed) -> None:
        event.stop()
        focused = getattr(self.screen.focused, "option", "")
        self.take()
        if focused == "setup.mirror":
            self.post_message(Knock())
        if focused == "setup.token" and self.state.typed.get("setup.token", "").strip():
            self.post_message(KeepToken())
        elif focused == "setup.token" or chosen_source(self.state) == "modelscope":
            self.post_message(Onward())
        else:
            self.screen.focus_next()

    def take(self) -> None:
        """Keep what is chosen, as far as it is whole."""
        wanted = source_values(chosen_source(self.state), typed_mirror(self.state))
        kept = {name: getattr(self.state.settings, name) for name in wanted}
        if wanted != kept:
            self.post_message(Keep(**wanted))


def chosen_source(state: SetUpState) -> str:
    return state.typed.get("setup.source") or source_of(state.settings)


def typed_mirror(state: SetUpState) -> str | None:
    """The mirror's address where what is typed is one, without a slash at its end."""
    typed = state.typed.get("setup.mirror", state.settings.mirror or "").strip().rstrip("/")
    try:
        parts = urlsplit(typed)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return typed if whole and typed.isascii() and typed.isprintable() and " " not in typed else None


def wanted_sites(state: SetUpState) -> list[str]:
    """The sites whose answer a person wants to know before choosing."""
    mirror = typed_mirror(state) if chosen_source(state) == "mirror" else None
    return [*([mirror] if mirror else []), sites.OFFICIAL, sites.modelscope()]
