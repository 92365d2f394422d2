"""Python's, numpy's and torch's random states, all at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy
import torch


@dataclass(frozen=True)
class RandomStates:
    """As they were at one moment; `cards` has one of each card."""

    python: Any
    array: Any
    processor: torch.Tensor
    cards: tuple[torch.Tensor, ...]

    @classmethod
    def now(cls) -> RandomStates:
        cards = tuple(torch.cuda.get_rng_state_all()) if torch.cuda.is_available() else ()
        return cls(random.getstate(), numpy.random.get_state(), torch.get_rng_state(), cards)

    def as_saved(self, *, alone: bool) -> dict[str, Any]:
        """In the form in which transformers reads them: of every card where the process is not alone, else of its."""
        saved = {"python": self.python, "numpy": self.array, "cpu": self.processor}
        if self.cards:
            saved["cuda"] = self.cards[torch.cuda.current_device()] if alone else list(self.cards)
        return saved

    def put_back(self) -> None:
        random.setstate(self.python)
        numpy.random.set_state(self.array)
        torch.set_rng_state(self.processor)
        if self.cards:
            torch.cuda.set_rng_state_all(list(self.cards))


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Whatever the block draws, afterwards the states are as before."""
    before = RandomStates.now()
    try:
        yield
    finally:
        before.put_back()
