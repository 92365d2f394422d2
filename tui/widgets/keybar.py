"""The bottom line: the keys that work now, in the language of the screen."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from finetty.tui.actions import key_name
from finetty.tui.language import _


class KeyBar(Widget):
    """One line of keys and what they do; what has no room is in the command palette."""

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; background: $panel; color: $foreground; padding: 0 1; }
    """

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _screen: self.refresh())

    def render(self) -> Content:
        shown: dict[str, tuple[str, str]] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled and binding.action not in shown:
                shown[binding.action] = (key_name(binding.key), _(binding.description))
        return fitting(list(shown.values()), self.size.width)


def fitting(keys: list[tuple[str, str]], width: int) -> Content:
    """As many `key label` pairs as the width holds, the first ones first."""
    line = Content("")
    for key, label in keys:
        pair = Content.assemble((key, "bold $accent"), f" {label}")
        gap = 2 if line.plain else 0
        if line.cell_length + gap + pair.cell_length > width:
            break
        line = Content.assemble(line, " " * gap, pair)
    return line
