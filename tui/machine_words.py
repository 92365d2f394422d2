"""This machine in words: one line for the first screen, and the facts one by one for the check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual.content import Content

from finetty.backend.machine.facts import GpuFacts, MachineFacts
from finetty.backend.machine.mending import Lack, lacks
from finetty.tui.language import _, plural, translate
from finetty.tui.text import short_count, size, visible

if TYPE_CHECKING:
    from finetty.backend.models.catalogue import Entry
    from finetty.backend.planning.needs import Way

ACCELERATORS = {
    "kernels": "kernels",
    "unsloth": "Unsloth",
    "liger_kernel": "Liger Kernel",
    "bitsandbytes": "bitsandbytes",
    "flash_attn": "FlashAttention-2",
    "flash_attn_interface": "FlashAttention-3",
    "gptqmodel": "GPTQModel",
    "deepspeed": "DeepSpeed",
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


def largest_line(found: Mapping[Way, Entry]) -> str:
    """The largest model that each way of tuning fits on this machine."""
    if not found:
        return _("No model of the usual sizes can be tuned with so little memory.")
    models = [
        f"{way} {short_count(entry.parameters)} ({visible((entry.hub or '').rsplit('/', 1)[-1])})"
        for way, entry in found.items()
    ]
    return _("The largest model that fits:") + " " + " · ".join(models)


def machine_details(machine: MachineFacts) -> list[Content]:
    """Every fact in a line, what is missing with its cure."""
    heading = Content.styled(_("Accelerators"), "bold $text-accent")
    return [*host_lines(machine), Content(""), heading, *accelerator_lines(machine)]


def host_lines(machine: MachineFacts) -> list[Content]:
    """Processor, memory, disk, cards, driver and torch."""
    host = plural("{count} core", "{count} cores", machine.cores)
    memory = _("{free} of {total} free").format(free=size(machine.ram_available), total=size(machine.ram_total))
    disk = _("{free} free where runs are kept").format(free=size(machine.disk_free))
    lines = [
        _fact(True, _("Processor"), f"{visible(machine.cpu)} · {host}"),
        _fact(True, _("Memory"), memory),
        _fact(machine.disk_free > 1 << 30, _("Disk"), disk),
    ]
    lines += [card_line(card) for card in machine.gpus]
    if not machine.gpus:
        lines.append(
            _fact(
                False,
                _("Graphics card"),
                visible(translate(machine.gpu_reason) if machine.gpu_reason else _("none found")),
            )
        )
    if machine.driver:
        lines.append(_fact(True, _("Driver"), visible(machine.driver)))
    return [*lines, _torch_line(machine)]


def usable_lines(machine: MachineFacts) -> list[Content]:
    """The optional libraries that can be used."""
    found = [(shown, machine.accelerators.get(name)) for name, shown in ACCELERATORS.items()]
    return [_fact(True, shown, one.version) for shown, one in found if one is not None and one.version is not None]


def _torch_line(machine: MachineFacts) -> Content:
    if machine.torch_version is None:
        return _fact(False, "torch", _("not installed"))
    where = f"CUDA {machine.torch_cuda}" if machine.torch_cuda else _("computes on the processor")
    return _fact(True, "torch", f"{visible(machine.torch_version)} · {visible(where)}")


def card_line(card: GpuFacts) -> Content:
    capability = f" · {card.capability[0]}.{card.capability[1]}" if card.capability else ""
    free = _("{free} of {total} free").format(free=size(card.free), total=size(card.total))
    return _fact(True, _("Card {index}").format(index=card.index), f"{visible(card.name)} · {free}{capability}")


def accelerator_lines(machine: MachineFacts) -> list[Content]:
    """Each optional library: its version, or why it cannot be used and what mends that."""
    lacking = {lack.name: lack for lack in lacks(machine)}
    return [*usable_lines(machine), *(_lack(lacking[name]) for name in ACCELERATORS if name in lacking)]


def _lack(lack: Lack) -> Content:
    line = _fact(False, ACCELERATORS[lack.name], visible(translate(lack.reason)))
    return Content.assemble(line, ("  " + visible(lack.by_hand), "$text-accent")) if lack.by_hand else line


def _fact(good: bool, name: str, value: str) -> Content:
    sign = Content.styled("✓ ", "$text-success") if good else Content.styled("· ", "$muted")
    shown = Content.styled(name, "bold")
    return Content.assemble(sign, shown.pad_right(max(1, 17 - shown.cell_length)), value)
