"""The guided set-up: five steps, each of which can be skipped, and whose answers are kept as they are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message

from finetty.backend.messages import Refusal
from finetty.backend.settings import kept_settings
from finetty.tui.actions import bindings
from finetty.tui.errors import said as refusal_words
from finetty.tui.language import Language, _, translate
from finetty.tui.screens.about import About
from finetty.tui.screens.base import BREADTHS, HEIGHTS
from finetty.tui.screens.dialogs import Question
from finetty.tui.screens.guided import GuidedScreen
from finetty.tui.screens.setup.command_pane import CommandPane
from finetty.tui.screens.setup.ending import Ending as EndingStep
from finetty.tui.screens.setup.look import Look
from finetty.tui.screens.setup.machine import NAMES, Machine
from finetty.tui.screens.setup.place import WherePlace
from finetty.tui.screens.setup.source import Source, wanted_sites
from finetty.tui.screens.setup.state import Holdings, SetUpState, look_at_holdings
from finetty.tui.screens.setup.steps import Choices, End, Keep, KeepToken, Knock, LookAtFolder, Mend, Onward, SetUpStep
from finetty.tui.text import visible
from finetty.tui.widgets.field import Confirmed
from finetty.tui.widgets.keybar import KeyBar
from finetty.tui.widgets.meaning import Meaning
from finetty.tui.widgets.stepper import Stepper, StepState

if TYPE_CHECKING:
    from finetty.backend.machine.facts import MachineFacts
    from finetty.backend.machine.mending import Lack
    from finetty.backend.machine.mounts import Place
    from finetty.backend.models.login import KeptToken
    from finetty.tui.app import FinettyApp

Ending = Literal["home", "demo", "new"]
STEPS: tuple[type[SetUpStep], ...] = (Look, Machine, WherePlace, Source, EndingStep)


class SetUp(GuidedScreen[Ending]):
    """Dismissed with what is to follow. It finds out in threads; what they find comes as messages."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("setup"),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]
    CSS_PATH = "../../styles/setup.tcss"
    HORIZONTAL_BREAKPOINTS = BREADTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    app: FinettyApp

    class Examined(Message):
        """What the machine has, by the look of this number; `blind` as the state has it; `tried` where its accelerators
        were imported for it."""

        def __init__(self, look: int, machine: MachineFacts, blind: str | None, *, tried: bool) -> None:
            self.look, self.machine, self.blind, self.tried = look, machine, blind, tried
            super().__init__()

    class Surveyed(Message):
        """The places that things could live in, and what lives in the present ones."""

        def __init__(self, places: tuple[Place, ...], holdings: Holdings) -> None:
            self.places, self.holdings = places, holdings
            super().__init__()

    class LookedAt(Message):
        """The folder that was typed; None where it cannot be written."""

        def __init__(self, folder: str, place: Place | None) -> None:
            self.folder, self.place = folder, place
            super().__init__()

    class Answered(Message):
        """Whether a site answers."""

        def __init__(self, site: str, answered: bool) -> None:
            self.site, self.answered = site, answered
            super().__init__()

    class TokenKept(Message):
        def __init__(self, outcome: KeptToken | Refusal) -> None:
            self.outcome = outcome
            super().__init__()

    def __init__(self) -> None:
        super().__init__()
        self.state = SetUpState(kept_settings())
        self.at = 0
        self.seen: set[int] = set()
        self.looks = 0
        """How often the machine was looked at."""
        self.looked = 0
        """The newest look that has answered: what an older one still says comes too late."""
        self.installed: str | None = None
        """What a command has just installed, until it is known whether it works."""

    def compose(self) -> ComposeResult:
        yield Stepper()
        yield Container(id="place")
        yield Meaning()
        yield KeyBar()

    async def on_mount(self) -> None:
        await self.open_step(0)
        self._examine()
        self._survey()

    async def redrawn(self) -> None:
        await self._turn_to(self.at)

    # Steps

    async def open_step(self, index: int) -> None:
        async with self.changing:
            await self._turn_to(index)
        if isinstance(self.step, Machine) and not self.state.trying:
            self._examine()

    async def _turn_to(self, index: int) -> None:
        if index != self.at:
            self.state.said = Content()
        with self.app.batch_update():
            step = STEPS[index](self.state)
            if not await self.put(step):
                return
            self.at = index
            self.seen.add(index)
            self.set_focus(step.first_control())
            self.fill()

    @property
    def step(self) -> SetUpStep | None:
        return next(iter(self.query(SetUpStep)), None)

    def fill(self) -> None:
        """Everything again from the state."""
        if self.step is None:
            return
        self.step.show()
        self.explain()
        steps = [
            StepState(_(one.titled), index in self.seen and index != self.at, False) for index, one in enumerate(STEPS)
        ]
        self.query_one(Stepper).show(steps, self.at)

    def explain(self) -> None:
        if self.step is not None:
            self.query_one(Meaning).show(About(*self.step.about()))

    def help_on_focus(self) -> tuple[str, list[Content]]:
        return self.step.about() if self.step is not None else ("", [])

    @on(Onward)
    @on(Confirmed)
    async def action_skip(self) -> None:
        if self.at + 1 < len(STEPS):
            self._take_what_is_whole()
            await self.open_step(self.at + 1)

    async def action_back(self) -> None:
        self._take_what_is_whole()
        if self.at:
            await self.open_step(self.at - 1)
        else:
            self._end("home")

    def _take_what_is_whole(self) -> None:
        if isinstance(self.step, Source):
            self.step.take()

    @on(End)
    def _ending(self, event: End) -> None:
        self._end(cast(Ending, event.ending))

    def _end(self, ending: Ending) -> None:
        self.app.keep(set_up=True)
        self.dismiss(ending)

    # Choices

    @on(Keep)
    async def _keep(self, event: Keep) -> None:
        refusal = self.app.keep(**event.values)
        self.state.settings = replace(self.state.settings, **event.values)
        if refusal is not None:
            self._say(refusal_words(refusal), "$text-error")
        if theme := event.values.get("theme"):
            self.app.theme = theme
        if name := event.values.get("language"):
            await self.app.speak(cast(Language, name))
        if "folder" in event.values:
            self._survey()
        self.draw()

    def _say(self, text: str, style: str) -> None:
        self.state.said = Content.styled(visible(text), style)
        self.draw()

    # The machine

    def _examine(self, tried: bool = False) -> None:
        self.looks += 1
        self._look(self.looks, self.state.blind, tried)

    @work(thread=True, group="machine")
    def _look(self, look: int, blind: str | None, tried: bool) -> None:
        from finetty.backend.machine import machine_facts
        from finetty.backend.machine.mending import look_again
        from finetty.backend.machine.torch_here import card_fault
        from finetty.backend.runs.directory import wanted_root

        machine = look_again() if tried else machine_facts(wanted_root().expanduser())
        self.post_message(self.Examined(look, machine, blind, tried=tried))
        if machine.gpus and machine.torch_version is not None:
            self.post_message(self.Examined(look, machine, card_fault(), tried=False))

    @on(Examined)
    def _examined(self, event: Examined) -> None:
        from finetty.backend.machine.mending import lacks

        if event.look < self.looked:
            return
        self.looked = event.look
        self.state.machine, self.state.blind = event.machine, event.blind
        self.state.lacks = lacks(event.machine, event.blind)
        self.state.trying = self.state.trying and not event.tried
        lack = next((one for one in self.state.lacks if one.name == self.installed), None)
        if event.tried and lack is not None:
            self.state.said = Content.styled(visible(translate(lack.reason)), "$text-error")
        self.draw()

    @on(Mend)
    def _mend(self, event: Mend) -> None:
        from finetty.backend.machine.mending import hold_installed

        lack, command = event.lack, event.lack.command
        if command is None:
            return
        try:
            hold_installed(lack)
        except OSError as error:
            self._say(_("The command cannot be prepared: {reason}.").format(reason=error.strerror), "$text-error")
            return

        def says() -> tuple[str, str, str]:
            note = translate(lack.note) + "\n\n" if lack.note is not None else ""
            title = _("Install {name}?").format(name=NAMES[lack.name])
            return title, visible(note + join(command)), _("Run exactly this")

        self.app.push_screen(Question(says), lambda agreed: self._run(lack, command) if agreed else None)

    def _run(self, lack: Lack, command: tuple[str, ...]) -> None:
        self.app.push_screen(CommandPane(command), lambda code: self._ran(lack, code))

    def _ran(self, lack: Lack, code: int | None) -> None:
        name = NAMES[lack.name]
        self.installed = lack.name if code == 0 else None
        if code == 0:
            self._say(_("{name} was installed.").format(name=name), "$text-success")
        else:
            self._say(_("{name} was not installed: exit code {code}.").format(name=name, code=code), "$text-warning")
        self.state.trying = True
        self.draw()
        self._examine(tried=True)

    # Places

    @work(thread=True, exclusive=True, group="places")
    def _survey(self) -> None:
        from finetty.backend.machine.mounts import place_at, places

        found, chosen = places(), self.state.settings.folder
        if chosen and all(str(place.folder) != chosen for place in found):
            mine = place_at(Path(chosen))
            found = (*found, *([mine] if mine else []))
        self.post_message(self.Surveyed(found, look_at_holdings()))

    @on(Surveyed)
    def _surveyed(self, event: Surveyed) -> None:
        self.state.places, self.state.holdings = event.places, event.holdings
        self.draw()

    @on(LookAtFolder)
    def _look_at_folder(self, event: LookAtFolder) -> None:
        self._look_at(event.folder)

    @work(thread=True, exclusive=True, group="folder")
    def _look_at(self, folder: str) -> None:
        from finetty.backend.machine.mounts import place_at

        try:
            place = place_at(Path(folder).expanduser().absolute())
        except (OSError, ValueError, RuntimeError):
            place = None
        self.post_message(self.LookedAt(folder, place))

    @on(LookedAt)
    def _looked_at(self, event: LookedAt) -> None:
        if event.place is None:
            said = _("{folder} cannot be written, nor made there.").format(folder=event.folder)
            self._say(said, "$text-error")
            return
        others = [place for place in self.state.places or () if place.folder != event.place.folder or place.usual]
        self.state.places = (*others, event.place)
        self.draw()
        if isinstance(self.step, WherePlace):
            choices = self.step.query_one(Choices)
            choices.put(choices.lines, str(event.place.folder))
            choices.focus()

    # The source

    @on(Knock)
    def _knock(self) -> None:
        for site in wanted_sites(self.state):
            if site not in self.state.reached:
                self._ask(site)
        self.draw()

    @work(thread=True, group="sites")
    def _ask(self, site: str) -> None:
        from finetty.backend.models.sources import reachable

        self.post_message(self.Answered(site, reachable(site)))

    @on(Answered)
    def _answered(self, event: Answered) -> None:
        self.state.reached[event.site] = event.answered
        self.draw()

    @on(KeepToken)
    def _keep_token(self) -> None:
        self._say(_("Asking whose token it is …"), "$muted")
        self._check_token(self.state.typed["setup.token"])

    @work(thread=True, exclusive=True, group="token")
    def _check_token(self, token: str) -> None:
        from finetty.backend.models.login import keep_token

        outcome: Any
        try:
            outcome = keep_token(token)
        except Refusal as refusal:
            outcome = refusal
        self.post_message(self.TokenKept(outcome))

    @on(TokenKept)
    async def _token_kept(self, event: TokenKept) -> None:
        if isinstance(event.outcome, Refusal):
            self._say(refusal_words(event.outcome), "$text-error")
            return
        path, account = event.outcome.path, event.outcome.account
        self.state.typed.pop("setup.token", None)
        said = (
            _("✓ Kept in {path}; it is {account}'s.")
            if account
            else _("Kept in {path}, but nobody could be asked whose it is.")
        )
        self.state.said = Content.styled(
            visible(said.format(path=path, account=account)), "$text-success" if account else "$text-warning"
        )
        if isinstance(self.step, Source):
            await self.open_step(self.at)
            self.query_one("#control-setup-token").focus()
