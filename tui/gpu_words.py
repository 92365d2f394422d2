"""What a card does now and who computes on it, in words, the same on the dashboard and in doctor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finetty.backend.messages import Message
from finetty.tui.language import _, translate
from finetty.tui.text import one_line, size


def process_words(pid: int, user: str | None, command: str | None, used: int | None) -> str:
    """`alice: python train.py 1.0 GB`; what this user may not read says so."""
    who = one_line(user) if user else _("process {pid}").format(pid=pid)
    what = one_line(command) if command else _("not readable by this user")
    return f"{who}: {what}" if used is None else f"{who}: {what} {size(used)}"


def slowed_words() -> dict[str, str]:
    """By the reading's word, what slows a card."""
    return {
        "power": _("at its power cap"),
        "power brake": _("slowed by the power supply"),
        "heat": _("slowed by heat"),
        "hardware": _("slowed by its hardware"),
    }


def reading_lines(card: dict[str, Any]) -> Iterator[str]:
    """A card of doctor's document, as it is at this moment: a line for each reading, N/A with the reason."""
    yield _("use: {value}").format(value=_value(card, "busy_percent", "{:.0f}%"))
    power, cap = _value(card, "watts", "{:.0f} W"), _value(card, "watts_limit", "{:.0f} W")
    yield _("power: {used}, cap {cap}").format(used=power, cap=cap)
    yield _("temperature: {value}").format(value=_value(card, "celsius", "{} °C"))
    clocks = _value(card, "sm_clock_mhz", "{} MHz"), _value(card, "memory_clock_mhz", "{} MHz")
    yield _("clocks: SM {sm}, memory {memory}").format(sm=clocks[0], memory=clocks[1])
    yield _("slowed: {value}").format(value=_slowed(card))
    yield from _process_lines(card)


def _slowed(card: dict[str, Any]) -> str:
    if card["throttling"] is None:
        return _absent(card, "throttling")
    return ", ".join(slowed_words()[reason] for reason in card["throttling"]) or _("no")


def _process_lines(card: dict[str, Any]) -> Iterator[str]:
    if not card["processes"]:
        none = _absent(card, "processes") if card["processes"] is None else _("none")
        yield _("processes: {value}").format(value=none)
    for one in card["processes"] or ():
        yield _("processes: {value}").format(value=process_words(one["pid"], one["user"], one["command"], one["used"]))


def _value(card: dict[str, Any], name: str, form: str) -> str:
    return _absent(card, name) if card[name] is None else form.format(card[name])


def _absent(card: dict[str, Any], name: str) -> str:
    why = card["missing"].get(name)
    return f"N/A ({one_line(translate(Message.from_json(why, why['text'])))})" if why else "N/A"
