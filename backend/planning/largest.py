"""The largest models that this machine can tune, by plan()'s own estimate."""

from __future__ import annotations

from functools import cache

from finetty.backend.machine.facts import MachineFacts
from finetty.backend.models.catalogue import Entry, catalogue
from finetty.backend.models.expected import expected_facts
from finetty.backend.planning.needs import Way, least_needs

LADDER_FAMILIES = ("Qwen/Qwen2.5-", "Qwen/Qwen3-")
"""Dense models in many sizes, of one shape: what fits grows with their parameters."""
WAYS: tuple[Way, ...] = ("LoRA", "QLoRA")


def largest(machine: MachineFacts) -> dict[Way, Entry]:
    """For each way the largest model of a ladder of sizes, 0.5 to 72 billion parameters, that fits; none: no key."""
    found: dict[Way, Entry] = {}
    for entry in reversed(_ladder()):
        for way in _possible(entry, machine):
            found.setdefault(way, entry)
        if len(found) == len(WAYS):
            break
    return {way: found[way] for way in WAYS if way in found}


@cache
def _ladder() -> tuple[Entry, ...]:
    sizes: dict[int, Entry] = {}
    for entry in catalogue():
        named = entry.hub is not None and entry.hub.startswith(LADDER_FAMILIES) and entry.quantization is None
        if named and entry.parameters and set(entry.tags) <= {"Instruct", "Base"} and expected_facts(entry.hub or ""):
            sizes.setdefault(entry.parameters, entry)
    return tuple(sizes[parameters] for parameters in sorted(sizes))


def _possible(entry: Entry, machine: MachineFacts) -> list[Way]:
    facts = expected_facts(entry.hub or "")
    needs = least_needs(facts, machine) if facts is not None else ()
    return [need.way for need in needs if need.memory.verdict == "fits"]
