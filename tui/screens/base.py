"""A screen that can be redrawn in another language with everything typed and the focus where they were."""

from __future__ import annotations

from typing import TypeVar

from textual.screen import ModalScreen, Screen

Result = TypeVar("Result")

BREADTHS = [(0, "-narrow"), (66, "-normal"), (110, "-wide")]
HEIGHTS = [(0, "-short"), (30, "-tall")]
"""From how many cells on a screen has room for more: the classes that styles go by."""


class TranslatedScreen(Screen[Result]):
    """Recomposes on a change of language; subclasses draw from the app's state and never keep an answer themselves."""

    async def relabel(self) -> None:
        focused = self.focused.id if self.focused else None
        await self.recompose()
        await self.redrawn()
        if focused and (again := self.query(f"#{focused}")):
            again.first().focus()

    async def redrawn(self) -> None:
        """Called after a recompose, for what is not in compose()."""


class TranslatedDialog(ModalScreen[Result]):
    """A dialog that is redrawn in the same way."""

    async def relabel(self) -> None:
        focused = self.focused.id if self.focused else None
        await self.recompose()
        if focused and (again := self.query(f"#{focused}")):
            again.first().focus()
