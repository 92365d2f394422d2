"""The cards while a run trains: a thread reads them every few seconds and notes them down, and can hurt nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from finetty.backend.machine import GpuReading, watch_gpus
from finetty.backend.messages import message
from finetty.backend.training.journal import Journal

SECONDS_BETWEEN = 5.0

LOST = message("cards.lost", "Card {index}, {name}, does not answer any more.")
LOOK_AT_LOG = message(
    "cards.look_at_log", "`sudo dmesg | grep -i xid` says why; a card that fell off the bus comes back with a restart."
)


class CardWatch:
    """`with CardWatch(journal): …` notes the cards down meanwhile; where there is none it ends at once.

    The thread is never waited for, since a driver may take a minute to give a card up. After the block nothing is
    written any more.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        seconds: float = SECONDS_BETWEEN,
        look: Callable[[], Sequence[GpuReading]] = watch_gpus,
    ) -> None:
        self._journal, self._seconds, self._look = journal, seconds, look
        self._over = threading.Event()
        self._pen = threading.Lock()
        self._lost: set[str] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="cards", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._pen:
            self._over.set()

    def _watch(self) -> None:
        cards: dict[str, GpuReading] = {}
        while not self._over.is_set():
            readings = {reading.uuid: reading for reading in self._look()}
            cards |= readings
            if not cards:
                return
            for uuid, card in sorted(cards.items(), key=lambda entry: entry[1].index):
                self._note(card, answers=uuid in readings)
            self._over.wait(self._seconds)

    def _note(self, card: GpuReading, *, answers: bool) -> None:
        with self._pen, suppress(OSError):  # a disk that is full is the trainer's to tell
            if self._over.is_set():
                return
            if not answers and card.uuid not in self._lost:
                self._journal.alert("warning", LOST(index=card.index, name=card.name), LOOK_AT_LOG())
            (self._lost.discard if answers else self._lost.add)(card.uuid)
            self._journal.log.append("gpu", **(_values(card) if answers else _nothing(card)))


def _values(card: GpuReading) -> dict[str, Any]:
    """One reading as an event: bytes, percent, watts, degrees Celsius; null where the card does not say."""
    own = [one for one in card.processes or () if one.pid == os.getpid()]
    others = [asdict(one) for one in card.processes or () if one.pid != os.getpid()]
    return _nothing(card) | {
        "used": card.used,
        "total": card.total,
        "utilisation": card.busy_percent,
        "power": card.watts,
        "power_cap": card.watts_limit,
        "temperature": card.celsius,
        "throttling": None if card.throttling is None else list(card.throttling),
        "process": own[0].used if own else None,
        "others": None if card.processes is None else others,
        "lost": False,
    }


def _nothing(card: GpuReading) -> dict[str, Any]:
    known = {"uuid": card.uuid, "index": card.index, "name": card.name, "used": None, "total": card.total}
    unknown = ("utilisation", "power", "power_cap", "temperature", "throttling", "process", "others")
    return known | dict.fromkeys(unknown) | {"lost": True}
