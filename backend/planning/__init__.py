"""plan(): from what the user asked and what is known, to what will happen and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finetty.backend.planning.plan import Choice, Disk, Memory, Plan, Time
from finetty.backend.planning.planner import plan
from finetty.backend.planning.steps import Schedule, steps_of

if TYPE_CHECKING:
    from finetty.backend.planning.facts import Facts, gather

__all__ = ["Choice", "Disk", "Facts", "Memory", "Plan", "Schedule", "Time", "gather", "plan", "steps_of"]


def __getattr__(name: str) -> Any:
    """Reading pulls in tokenizers and NVML; whoever only plans does without."""
    if name in ("Facts", "gather"):
        from finetty.backend.planning import facts

        return getattr(facts, name)
    raise AttributeError(name)
