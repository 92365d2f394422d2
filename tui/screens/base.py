"""A screen that can be redrawn in another language with everything typed and the focus where they were."""

from __future__ import annotations

from asyncio import Lock
from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.reactive import Reactive
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

Result = TypeVar("Result")

BREADTHS = [(0, "-narrow"), (66, "-normal"), (110, "-wide")]
HEIGHTS = [(0, "-short"), (30, "-tall")]
"""From how many cells on a screen has room for more: the classes that styles go by."""


class TranslatedScreen(Screen[Result]):
    """Recomposes on a change of language; subclasses draw from the app's state and never keep an answer themselves."""

    # Who gets the focus is drawn anew, and who loses it; Textual would send the whole screen.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(name, id, classes)
        self.changing = Lock()
        """Held while parts of the screen take others' place: whoever else wants to, waits."""

    async def relabel(self) -> None:
        async with self.changing:
            focused = self.focused.id if self.focused else None
            await self.recompose()
            if self.going:
                return
            await self.redrawn()
            if focused and (again := self.query(f"#{focused}")):
                again.first().focus()

    async def redrawn(self) -> None:
        """Called after a recompose, for what is not in compose()."""
        self.fill()

    def draw(self) -> None:
        """Everything again from the state. What comes in while parts are changing is drawn after that."""
        if self.complete:
            self.fill()

    @property
    def complete(self) -> bool:
        """Whether every part that the state is drawn into is there."""
        return not (self.changing.locked() or self.going)

    @property
    def going(self) -> bool:
        """Whether the screen, or the app, is being taken away: messages still come in then, and parts are gone, or,
        put anew once the app has said that it ends, never get mounted."""
        here = self.is_attached and self.display
        return not (here and all(part.is_mounted for part in self.children))

    def fill(self) -> None:
        """Put the state into the parts that compose() made."""

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Leave this screen, and what lies over it first: Textual takes away whatever is on top, also for a screen
        that is gone already, as with a key pressed twice."""
        stack = self.app.screen_stack
        if self not in stack:
            return AwaitComplete()
        for over in reversed(stack[stack.index(self) + 1 :]):
            over.dismiss(None)
        return super().dismiss(result)


class TranslatedDialog(ModalScreen[Result], TranslatedScreen[Result]):
    """Over another screen, which is to be seen beside it."""

    def action_close(self) -> None:
        """Esc and Ctrl+C: back, and nothing is done."""
        self.dismiss(None)
