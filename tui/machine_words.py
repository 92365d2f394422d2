"""This machine in words: one line for the first screen, and the facts one by one for the check."""

from __future__ import annotations

from finetty.backend.machine.facts import MachineFacts
from finetty.tui.language import _, plural
from finetty.tui.text import size, visible


def machine_line(machine: MachineFacts) -> str:
    """Card and its free memory, or that there is none and what trains instead."""
    host = plural("{count} core", "{count} cores", machine.cores)
    memory = _("{free} of memory free").format(free=size(machine.ram_available))
    disk = _("{free} of disk free").format(free=size(machine.disk_free))
    if not machine.gpus:
        return _("No graphics card here: trains on the CPU, {host}, {memory}, {disk}.").format(
            host=host, memory=memory, disk=disk
        )
    cards = ", ".join(
        _("{name} with {free} of {total} free").format(
            name=visible(card.name), free=size(card.free), total=size(card.total)
        )
        for card in machine.gpus
    )
    return f"{cards} · {host}, {memory}, {disk}"
