"""Text that is drawn again only when it says something else: every redraw is paid for over a slow line."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class Prose(Static):
    """Plain or styled text, never markup."""

    def __init__(self, text: str | Content = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(text, id=id, classes=classes, markup=False)
        self.said = _key(text)

    def say(self, text: str | Content) -> bool:
        """Show this text; whether it was another one."""
        key = _key(text)
        if key == self.said:
            return False
        self.said = key
        self.update(text)
        return True


def _key(text: str | Content) -> object:
    return text if isinstance(text, str) else (text.plain, tuple(text.spans))
