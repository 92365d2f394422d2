"""The colours: finetty's own themes, and which one suits a terminal."""

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
    accent="#006b64",
    warning="#8a5a00",
    error="#b3202e",
    success="#2b7a26",
    foreground="#1d2430",
    background="#f7f8fa",
    surface="#eceff3",
    panel="#dfe4ea",
    dark=False,
    variables={"muted": "#566171", "foreground-muted": "#556070"},
)
CONTRAST = Theme(
    name="finetty-contrast",
    primary="#6cb6ff",
    secondary="#d9b3ff",
    accent="#00ffff",
    warning="#ffd700",
    error="#ff8080",
    success="#66ff66",
    foreground="#ffffff",
    background="#000000",
    surface="#101010",
    panel="#2a2a2a",
    dark=True,
    variables={"muted": "#d0d0d0", "foreground-muted": "#d0d0d0"},
)
COLOUR_BLIND = Theme(
    name="finetty-colour-blind",
    primary="#3d9be0",
    secondary="#cc79a7",
    accent="#56b4e9",
    warning="#f0e442",
    error="#e66100",
    success="#1fb58f",
    foreground="#e3e6ea",
    background="#101418",
    surface="#181d23",
    panel="#222932",
    dark=True,
)
"""Signs in the hues of Okabe and Ito, told apart with every kind of colour vision: jfly.uni-koeln.de/color."""
SIXTEEN = replace(
    BUILTIN_THEMES["ansi-dark"],
    name="finetty-16",
    accent="ansi_cyan",
    secondary="ansi_magenta",
    variables={**BUILTIN_THEMES["ansi-dark"].variables, "muted": "ansi_default"},
)
THEMES = (DARK, LIGHT, CONTRAST, COLOUR_BLIND, SIXTEEN)


def suitable_theme(environment: Mapping[str, str]) -> str:
    """The theme that was chosen; else sixteen colours get the terminal's own.

    NO_COLOR never does, since that would be black on black.
    """
    chosen, no_colour = environment.get("FINETTY_THEME"), bool(environment.get("NO_COLOR"))
    black_on_black = {SIXTEEN.name, *(name for name in BUILTIN_THEMES if "ansi" in name)} if no_colour else set()
    if chosen in {*BUILTIN_THEMES, *(theme.name for theme in THEMES)} - black_on_black:
        return str(chosen)
    if no_colour:
        return DARK.name
    rich = environment.get("COLORTERM") in {"truecolor", "24bit"} or "256" in environment.get("TERM", "")
    return DARK.name if rich or environment.get("TERM", "") in {"", "xterm-kitty", "alacritty"} else SIXTEEN.name
