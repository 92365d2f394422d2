"""While the review is read, the holder loads what the run will need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finetty.tui.holder import Holder
from finetty.tui.processes import warm_order

if TYPE_CHECKING:
    from finetty.tui.screens.state import State


class Warming:
    """What the holder was told last is not told again."""

    def __init__(self) -> None:
        self._told: dict[str, Any] | None = None

    def follow(self, state: State) -> None:
        """Tell the holder where the plan needs something else than before."""
        plan, machine, holder = state.plan, state.known.machine, Holder.ours()
        if holder is None or plan is None or machine is None:
            return
        order = warm_order(plan, machine)
        if order is not None and order != self._told:
            self._told = order
            holder.tell("warm", **order)
