"""Looking at a screen as a person does: what is not there yet is waited for, what is there is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot

PATIENCE = 30.0
"""Seconds until a text that has not come is called missing: a busy machine is late, not wrong."""


def shown(looked_at: App[Any] | Pilot[Any]) -> str:
    """The screen's text, line by line."""
    app = looked_at.app if isinstance(looked_at, Pilot) else looked_at
    return "\n".join("".join(segment.text for segment in line) for line in app.screen._compositor.render_strips())


async def until(pilot: Pilot[Any], condition: Callable[[], object], wanted: str = "it never came to that") -> None:
    """Let the app run until the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{wanted} on this screen:\n{shown(pilot)}"
        await pilot.pause(0.01)


async def sees(pilot: Pilot[Any], *texts: str) -> None:
    """Let the app run until the screen shows each of the texts."""
    for text in texts:
        await until(pilot, lambda text=text: text in shown(pilot), f"{text!r} never came")  # type: ignore[misc]
