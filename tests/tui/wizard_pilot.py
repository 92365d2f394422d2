"""Driving the wizard as a person does: keys, pastes, and waiting until what was asked has been answered."""

from __future__ import annotations

from textual import events
from textual.pilot import Pilot
from textual.widget import Widget

from finetty.backend.machine.facts import NO_DRIVER, Accelerator, MachineFacts
from finetty.tui.app import FinettyApp
from finetty.tui.screens.wizard import Wizard
from finetty.tui.widgets.prose import Prose

from .looking import shown

GB = 1 << 30
MACHINE = MachineFacts(
    hostname="box",
    cpu="Xeon",
    cores=8,
    ram_total=16 * GB,
    ram_available=12 * GB,
    disk_free=200 * GB,
    cpu_fast_bf16=False,
    gpu_reason=NO_DRIVER(),
    accelerators={
        "flash_attn": Accelerator("flash_attn", None, "flash-attn is not installed", "pip install flash-attn"),
        "bitsandbytes": Accelerator("bitsandbytes", "0.50.2"),
    },
)


async def settled(pilot: Pilot[object]) -> None:
    """Wait until nothing is being read and the screen stays as it is: on a busy machine one answer brings the next
    question late. What changes by itself, a clock say, is let go after thirty looks."""
    seen, alike = "", 0
    for _look in range(30):
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
        seen, before = shown(pilot), seen
        alike = alike + 1 if seen == before else 0
        if alike == 2:
            return


async def paste(pilot: Pilot[object], text: str) -> None:
    """Put a text into the control with the focus in one go, as a terminal's paste does."""
    focused = pilot.app.focused
    assert isinstance(focused, Widget)
    focused.post_message(events.Paste(text))
    await settled(pilot)


async def answer(pilot: Pilot[object], model: str, data: str) -> None:
    """From the model step to the method step, with these two answers."""
    await paste(pilot, model)
    await pilot.press("enter")
    await settled(pilot)
    await paste(pilot, data)
    await pilot.press("enter")
    await settled(pilot)


async def left(pilot: Pilot[object]) -> None:
    """Wait until the app has ended."""
    for _round in range(200):
        if not pilot.app.is_running:
            return
        await pilot.pause(0.02)


def wizard(pilot: Pilot[object]) -> Wizard:
    app = pilot.app
    assert isinstance(app, FinettyApp)
    return next(screen for screen in app.screen_stack if isinstance(screen, Wizard))


def said(pilot: Pilot[object], place: str) -> str:
    """The whole text of a part of the screen, however it is wrapped."""
    return pilot.app.screen.query_one(place, Prose).render().plain  # type: ignore[union-attr]
