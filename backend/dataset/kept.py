"""Rows kept small: written down once as they are read, and read again one by one, whoever asks for them."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import weakref
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from finetty.backend.conversation.rows import Row, Turn
from finetty.backend.messages import Refusal, message
from finetty.backend.settings import own_cache

NO_ROOM = message("dataset.no_room", "The rows cannot be put aside in {folder}: {reason}.")
FREE_SPACE = message("dataset.free_space", "Free some space there, or name another folder in XDG_CACHE_HOME.")

IN_MEMORY = 48 << 20
"""Bytes of rows that stay in memory; more are put aside in a file that ends with the process."""
MARK_BYTES = 16
_WRITER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class RowStore:
    """Every row that was read, in order, and its mark (`fingerprint`): a million rows take 24 MB of memory.

    What is written is the rows, not where they stand in their files, so that a file may change while they are used.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(_folder()))  # noqa: SIM115  # as long as the rows
        weakref.finalize(self, self._file.close)
        self._ends = array("Q", [0])
        self._marks = bytearray()
        self._sources: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, row: Row, mark: bytes) -> None:
        """Keep a row whose text can be written as UTF-8. Raises Refusal where there is no room for it."""
        source = self._sources.setdefault(row.source, len(self._sources))
        turns = [
            [turn.role, turn.content, turn.reasoning, turn.tool_calls, turn.name, turn.call_id] for turn in row.turns
        ]
        written = _WRITER.encode([turns, row.tools, source, row.line]).encode()
        try:
            with self._lock:
                self._file.seek(self._ends[-1])
                self._file.write(written)
        except OSError as error:
            raise Refusal(NO_ROOM(folder=_folder(), reason=error.strerror or "unknown"), FREE_SPACE()) from None
        self._ends.append(self._ends[-1] + len(written))
        self._marks += mark

    def mark(self, place: int) -> bytes:
        return bytes(self._marks[place * MARK_BYTES : (place + 1) * MARK_BYTES])

    def row(self, place: int) -> Row:
        start, end = self._ends[place], self._ends[place + 1]
        with self._lock:
            self._file.seek(start)
            written = self._file.read(end - start)
        turns, tools, source, line = json.loads(written)
        return Row(tuple(_turn(*turn) for turn in turns), self.source(source), line, tuple(tools))

    def source(self, number: int) -> str:
        return list(self._sources)[number]


def _turn(role: Any, content: str, reasoning: str | None, calls: list[Any], name: str | None, call: str | None) -> Turn:
    return Turn(role, content, reasoning, tuple(calls), name, call)


class KeptRows(Sequence[Row]):
    """Some rows of a store, in this order; a place that is named twice is a row that is seen twice."""

    def __init__(self, store: RowStore, places: Sequence[int]) -> None:
        self._store, self._places = store, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> KeptRows: ...
    def __getitem__(self, index: int | slice) -> Row | KeptRows:
        if isinstance(index, slice):
            return KeptRows(self._store, self._places[index])
        return self._store.row(self._places[index])

    def __iter__(self) -> Iterator[Row]:
        return map(self._store.row, self._places)

    def chosen(self, indices: Sequence[int]) -> KeptRows:
        """The rows at these indices."""
        return KeptRows(self._store, array("Q", (self._places[index] for index in indices)))

    def marks(self) -> Iterator[bytes]:
        """The `fingerprint` of each row, in order, without reading the rows again."""
        return map(self._store.mark, self._places)


def _folder() -> Path:
    """finetty's cache, which is a disk where /tmp may be memory; where it cannot be written, the usual place."""
    cache = own_cache()
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return Path(tempfile.gettempdir())
    return cache if os.access(cache, os.W_OK) else Path(tempfile.gettempdir())
