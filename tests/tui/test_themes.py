"""The themes: readable by the WCAG's measure of contrast, offered in the set-up, and kept when one is chosen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.color import Color
from textual.theme import Theme

from finetty.backend.settings import settings_path
from finetty.tui.dashboard_app import DashboardApp
from finetty.tui.screens.setup.look import THEME_NAMES
from finetty.tui.styles.themes import CONTRAST, DARK, MUTED, SIXTEEN, THEMES, suitable_theme

from .looking import until

WORDS = ("foreground", "foreground-muted", "muted", "accent")
TONES = tuple(f"text-{tone}" for tone in ("accent", "success", "warning", "error", "primary", "secondary"))
GROUNDS = ("background", "surface", "panel")


def luminance(colour: Color) -> float:
    """The relative luminance of WCAG 2.1: w3.org/TR/WCAG21/#dfn-relative-luminance."""
    parts = [value / 255 for value in colour.rgb]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(theme: Theme, word: str, ground: str) -> float:
    variables = {**theme.to_color_system().generate(), "muted": MUTED, **theme.variables}
    below, above = Color.parse(variables[ground]), Color.parse(variables[word])
    lights = sorted((luminance(below), luminance(below.blend(above, above.a, 1.0))))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("theme", [theme for theme in THEMES if theme is not SIXTEEN], ids=lambda theme: theme.name)
def test_every_word_can_be_read_on_every_ground(theme: Theme) -> None:
    least = 7.0 if theme is CONTRAST else 4.5
    found = {(word, ground): contrast(theme, word, ground) for word in WORDS + TONES for ground in GROUNDS}
    assert {pair: round(ratio, 1) for pair, ratio in found.items() if ratio < least} == {}


def test_each_has_a_name_in_the_set_up() -> None:
    assert set(THEME_NAMES) == {theme.name for theme in THEMES}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-256color"}, DARK.name),
        ({"TERM": "xterm-16color"}, SIXTEEN.name),
        ({"TERM": "linux", "NO_COLOR": "1"}, DARK.name),
        ({"TERM": "linux", "FINETTY_THEME": CONTRAST.name}, CONTRAST.name),
        ({"TERM": "xterm-256color", "FINETTY_THEME": "nord"}, "nord"),
        ({"TERM": "xterm-256color", "FINETTY_THEME": "ansi-dark", "NO_COLOR": "1"}, DARK.name),
        ({"TERM": "xterm-256color", "FINETTY_THEME": "no such"}, DARK.name),
    ],
)
def test_which_theme_suits(environment: dict[str, str], expected: str) -> None:
    assert suitable_theme(environment) == expected


async def test_a_theme_picked_on_the_dashboard_is_kept(
    made_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("FINETTY_THEME", "FINETTY_FROM_SETTINGS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TERM", "xterm-256color")
    made = made_run()
    made.train(40)
    app = DashboardApp(made.run, owner=True, clock=made.clock)
    async with app.run_test() as pilot:
        app.theme = CONTRAST.name
        await until(pilot, lambda: settings_path().exists())
    made.end()
    assert json.loads(settings_path().read_text())["theme"] == CONTRAST.name
