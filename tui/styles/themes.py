"""The colours: a dark and a light theme of finetty's own, and which one suits a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from textual.theme import BUILTIN_THEMES, Theme

MUTED = "#8b95a3"
"""Secondary text in themes that say nothing of it; readable on dark and on light."""

DARK = Theme(
    name="finetty-dark",
    primary="#3f8fd2",
    secondary="#8f7ae5",
    accent="#39c5bb",
    warning="#e5b454",
    error="#f0717b",
    success="#7fce7a",
    foreground="#d5dbe3",
    background="#12161c",
    surface="#1a2029",
    panel="#222a35",
    dark=True,
)
LIGHT = Theme(
    name="finetty-light",
    primary="#1f6fb2",
    secondary="#5b45c2",
    accent="#00756d",
    warning="#8a5a00",
    error="#b3202e",
    success="#2b7a26",
    foreground="#1d2430",
    background="#f7f8fa",
    surface="#eceff3",
    panel="#dfe4ea",
    dark=False,
    variables={"muted": "#5d6878"},
)
SIXTEEN = replace(
    BUILTIN_THEMES["ansi-dark"],
    name="finetty-16",
    accent="ansi_cyan",
    secondary="ansi_magenta",
    variables={**BUILTIN_THEMES["ansi-dark"].variables, "muted": "ansi_default"},
)
THEMES = (DARK, LIGHT, SIXTEEN)


def suitable_theme(environment: Mapping[str, str]) -> str:
    """Sixteen colours get the terminal's own; NO_COLOR never does, since that would be black on black."""
    if environment.get("NO_COLOR"):
        return DARK.name
    rich = environment.get("COLORTERM") in {"truecolor", "24bit"} or "256" in environment.get("TERM", "")
    return DARK.name if rich or environment.get("TERM", "") in {"", "xterm-kitty", "alacritty"} else SIXTEEN.name
