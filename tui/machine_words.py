"""This machine in words: one line for the first screen, and the facts one by one for the check."""

from __future__ import annotations

from textual.content import Content

from finetty.backend.machine.facts import Accelerator, GpuFacts, MachineFacts
from finetty.tui.language import _, plural
from finetty.tui.text import size, visible

ACCELERATORS = {
    "flash_attn": "FlashAttention-2",
    "unsloth": "Unsloth",
    "liger_kernel": "Liger Kernel",
    "bitsandbytes": "bitsandbytes",
}
"""Import names, and how a person knows them."""


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


def machine_details(machine: MachineFacts) -> list[Content]:
    """Every fact in a line, what is missing with its cure."""
    host = plural("{count} core", "{count} cores", machine.cores)
    memory = _("{free} of {total} free").format(free=size(machine.ram_available), total=size(machine.ram_total))
    lines = [
        _fact(True, _("Processor"), f"{visible(machine.cpu)} · {host}"),
        _fact(True, _("Memory"), memory),
        _fact(
            machine.disk_free > 1 << 30,
            _("Disk"),
            _("{free} free where runs are kept").format(free=size(machine.disk_free)),
        ),
    ]
    lines += [card_line(card) for card in machine.gpus]
    if not machine.gpus:
        lines.append(_fact(False, _("Graphics card"), visible(machine.gpu_reason or _("none found"))))
    if machine.driver:
        lines.append(_fact(True, _("Driver"), visible(machine.driver)))
    lines += [Content(""), Content.styled(_("Accelerators"), "bold $text-accent"), *accelerator_lines(machine)]
    return lines


def card_line(card: GpuFacts) -> Content:
    capability = f" · {card.capability[0]}.{card.capability[1]}" if card.capability else ""
    free = _("{free} of {total} free").format(free=size(card.free), total=size(card.total))
    return _fact(True, _("Card {index}").format(index=card.index), f"{visible(card.name)} · {free}{capability}")


def accelerator_lines(machine: MachineFacts) -> list[Content]:
    """Each optional library: its version, or why it cannot be used and what mends that."""
    return [_accelerator(shown, machine.accelerators.get(name)) for name, shown in ACCELERATORS.items()]


def _accelerator(shown: str, found: Accelerator | None) -> Content:
    if found is not None and found.version is not None:
        return _fact(True, shown, found.version)
    reason = visible(found.reason) if found and found.reason else _("not installed")
    line = _fact(False, shown, reason)
    return Content.assemble(line, ("  " + visible(found.fix), "$text-accent")) if found and found.fix else line


def _fact(good: bool, name: str, value: str) -> Content:
    sign = Content.styled("✓ ", "$text-success") if good else Content.styled("· ", "$muted")
    shown = Content.styled(name, "bold")
    return Content.assemble(sign, shown.pad_right(max(1, 17 - shown.cell_length)), value)
