"""The methods weighed against each other: planned once nothing has changed for a moment, in a thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from finetty.backend.recipe import Recipe
from finetty.tui.reading import Known

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finetty.backend.models.catalogue import Entry
    from finetty.backend.planning.methods import Method
    from finetty.backend.planning.needs import Way
    from finetty.backend.planning.plan import Plan
    from finetty.tui.screens.state import State


class Weighed(Message):
    """Each method's plan for the answers as they were, and the largest models that fit this machine."""

    def __init__(self, methods: Mapping[Method, Plan], largest: Mapping[Way, Entry]) -> None:
        self.methods, self.largest = methods, largest
        super().__init__()


@dataclass
class Weighing:
    """What is weighed is always the latest: of an older one that is not done yet nothing is heard."""

    screen: Screen[None]
    pause: ClassVar[float] = 0.1
    """Seconds without a change before the methods are planned: a key is answered first."""
    _recipe: Recipe | None = field(default=None, init=False)
    _known: Known | None = field(default=None, init=False)
    _timer: Timer | None = field(default=None, init=False)

    def follow(self, state: State) -> None:
        """Weigh again where an answer or a fact is another one than last time."""
        if state.plan is None or self._is_latest(state.draft.recipe, state.known):
            return
        self._recipe, self._known = state.draft.recipe, state.known
        if self._timer is not None:
            self._timer.stop()
        weigh = partial(self._start, state.draft.recipe, state.draft.anchored, state.known)
        self._timer = self.screen.set_timer(self.pause, weigh) if self.pause else None
        if not self.pause:
            weigh()

    def _is_latest(self, recipe: Recipe, known: Known) -> bool:
        return recipe is self._recipe and known is self._known

    def _start(self, recipe: Recipe, anchored: Recipe, known: Known) -> None:
        self.screen.run_worker(partial(self._weigh, recipe, anchored, known), thread=True, group="weighing")

    def _weigh(self, recipe: Recipe, anchored: Recipe, known: Known) -> None:
        from finetty.backend.planning.largest import largest
        from finetty.backend.planning.methods import planned_methods

        if known.machine is None or not self._is_latest(recipe, known):
            return
        methods = planned_methods(anchored, known.model.facts or known.model.expected, known.machine, known.data.facts)
        if self._is_latest(recipe, known):
            self.screen.post_message(Weighed(methods, largest(known.machine)))
