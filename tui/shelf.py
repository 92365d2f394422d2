"""The models that can be chosen: those on this machine and those of the catalogue, as one list that words find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetty.backend.models import LocalModel, name_says
from finetty.backend.models.catalogue import Entry, catalogue, entry_named, search
from finetty.backend.models.expected import expected_facts
from finetty.tui.wanted import Wanted

if TYPE_CHECKING:
    from finetty.backend.machine.facts import MachineFacts
    from finetty.backend.messages import Message
    from finetty.backend.planning.needs import Need

MOST_SHOWN = 60
QUANTIZED = ("AWQ", "GPTQ", "Int8", "Int4")
SMALLEST = 4
"""A model's files may be this many times larger than what it takes at the least: 16 bits against 4."""


@dataclass(frozen=True)
class Offer:
    """One model. `path` is what the recipe takes; what is not here is None, and so is what is not known of it."""

    path: str
    local: LocalModel | None
    entry: Entry | None

    @property
    def tags(self) -> tuple[str, ...]:
        return self.entry.tags if self.entry else name_says(self.path).tags

    @property
    def parameters(self) -> int | None:
        return (self.entry.parameters if self.entry else None) or name_says(self.path).parameters

    @property
    def file_bytes(self) -> int | None:
        """The size of its files; of those not here an estimate."""
        return self.local.size if self.local else self.entry.weight_bytes if self.entry else None

    @property
    def refused(self) -> Message | None:
        """Why finetty could not tune it wherever it ran."""
        from finetty.backend.planning.arithmetic import ALREADY

        said = [self.entry.quantization] if self.entry else []
        formats = [one for one in (*said, *(tag for tag in self.tags if tag in QUANTIZED)) if one]
        return ALREADY(format=formats[0]) if formats else None


@dataclass(frozen=True)
class Found:
    """The first of the models that were found, and whether there are more than these."""

    wanted: Wanted
    offers: tuple[Offer, ...]
    more: bool


class Shelf:
    """Made in a thread, since it reads the catalogue; what a model needs is worked out once."""

    def __init__(self, local: Sequence[LocalModel], machine: MachineFacts) -> None:
        from finetty.backend.planning.needs import free_memory

        self.local, self.machine = tuple(local), machine
        self.free = free_memory(machine)
        self._needs: dict[str, tuple[Need, ...]] = {}
        search("model")  # the index of words is made now, not at the first key

    def find(self, wanted: Wanted, stopped: Callable[[], bool] = lambda: False) -> Found:
        """The models for what is wanted, those on this machine first; `stopped` says that nobody waits any more."""
        offers: list[Offer] = []
        for offer in self._matching(wanted):
            if stopped():
                break
            if wanted.fits and not self.fits(offer):
                continue
            if len(offers) == MOST_SHOWN:
                return Found(wanted, tuple(offers), more=True)
            offers.append(offer)
        return Found(wanted, tuple(offers), more=False)

    def _matching(self, wanted: Wanted) -> Iterator[Offer]:
        words = wanted.words.lower().split()
        here = {model.path.lower() for model in self.local}
        for model in self.local:
            offer = Offer(model.path, model, entry_named(model.path))
            named = all(word in model.path.lower() for word in words)
            if named and (wanted.tag is None or wanted.tag in offer.tags):
                yield offer
        limit = SMALLEST * self.free if wanted.fits and self.free is not None else None
        found = search(wanted.words, tag=wanted.tag, fits_bytes=limit)
        for entry in found if words else sorted(found, key=_for_beginners):
            if entry.hub is not None and entry.hub.lower() not in here:
                yield Offer(entry.hub, None, entry)

    def needs(self, offer: Offer) -> tuple[Need, ...]:
        """What it takes at the least, in each way that is possible; empty where its dimensions are not known."""
        from finetty.backend.planning.needs import least_needs

        if offer.path not in self._needs:
            facts = expected_facts(offer.path)
            self._needs[offer.path] = least_needs(facts, self.machine) if facts else ()
        return self._needs[offer.path]

    def fits(self, offer: Offer) -> bool:
        """Whether it can be tuned here; by its files' size where nothing better is known."""
        if offer.refused:
            return False
        if needs := self.needs(offer):
            return any(need.possible for need in needs)
        return self.free is None or (offer.file_bytes is not None and offer.file_bytes < self.free)

    def tags(self) -> dict[str, int]:
        """Every tag of the catalogue but versions, with how many models carry it, the most frequent first."""
        carried = [tag for entry in catalogue() for tag in entry.tags if not _is_version(tag)]
        counts = {tag: carried.count(tag) for tag in carried}
        return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _for_beginners(entry: Entry) -> int:
    """Where no words say what is looked for, plain models that follow instructions come first."""
    return 0 if {tag for tag in entry.tags if not _is_version(tag)} == {"Instruct"} else 1


def _is_version(tag: str) -> bool:
    return tag[:1] == "v" and tag[1:2].isdigit()
