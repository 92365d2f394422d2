"""Keys struck at random by a seed, faster than anybody types."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from textual import events
from textual.app import App
from textual.keys import _character_to_key
from textual.pilot import Pilot

COUNTS = [50, pytest.param(1000, marks=pytest.mark.proof)]
"""How many keys: a few in the suite, a thousand among the slow proofs."""
NAMED = (
    "enter escape tab shift+tab up down left right space home end pageup pagedown backspace delete f1 f2 ctrl+n ctrl+p"
    " ctrl+b ctrl+t ctrl+c shift+left shift+right"
)
KEYS = [*NAMED.split(), *"abcdefgklmnopqrstuwxyz0123+-,./=漢"]


async def struck(pilot: Pilot[Any], keys: Sequence[str], count: int, seed: int) -> AsyncIterator[str]:
    """Strike that many of the keys; after each, once every part of the screen has dealt with it, look whether all is
    well. The pilot's own press waits until the process idles besides, a tenth of a second a key."""
    dice = random.Random(seed)
    for _key in range(count):
        key = dice.choice(keys)
        strike(pilot.app, key)
        await pilot.pause(0)
        assert pilot.app._exception is None
        if not pilot.app.is_running:
            return  # left by a key or by the palette, as a person may
        yield key


def strike(app: App[Any], key: str) -> None:
    """Give the app a key as its terminal's driver does."""
    character = key if len(key) == 1 else None
    named = _character_to_key(key) if character and not character.isalnum() else key
    event = events.Key(named, " " if key == "space" else character)
    event.set_sender(app)
    assert app._driver is not None
    app._driver.send_message(event)
