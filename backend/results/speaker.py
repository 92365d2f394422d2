"""A model in memory that answers, piece by piece as it finds the words."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from finetty.backend.conversation import Encoder, Turn

LONGEST_ANSWER = 1024
"""In tokens."""


class Speaker(ABC):
    """Opening one loads torch and the weights: seconds to minutes."""

    encoder: Encoder

    @abstractmethod
    def model(self, *, base: bool) -> tuple[Any, AbstractContextManager[Any]]:
        """The model that answers, the tuned one or the base, and the block within which it does."""

    def answer(
        self,
        turns: Sequence[Turn],
        *,
        tools: tuple[Mapping[str, Any], ...] = (),
        base: bool = False,
        temperature: float = 0.0,
        top_p: float = 1.0,
        longest: int = LONGEST_ANSWER,
    ) -> Iterator[str]:
        """The answer to a conversation, piece by piece as it is found; greedy at temperature 0.

        `base` asks the model as it was before tuning. Closing the iterator ends the generation.
        """
        pieces: queue.Queue[int | BaseException | None] = queue.Queue()
        over = threading.Event()

        def generate() -> None:
            from finetty.backend.training.answer import answer_ids

            try:
                model, switch = self.model(base=base)
                with switch:
                    answer_ids(
                        model,
                        self.encoder,
                        turns,
                        tools=tools,
                        longest=longest,
                        temperature=temperature,
                        top_p=top_p,
                        tell=pieces.put,
                        enough=over.is_set,
                    )
                pieces.put(None)
            except BaseException as error:
                pieces.put(error)

        thread = threading.Thread(target=generate, name="finetty-answer", daemon=True)
        thread.start()
        try:
            yield from self._text(pieces)
        finally:
            over.set()
            thread.join()

    def _text(self, pieces: queue.Queue[int | BaseException | None]) -> Iterator[str]:
        """Text as far as it is certain: a character may be spread over several tokens."""
        ids: list[int] = []
        told = ""
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            if piece in self.encoder.stop_ids:
                continue
            ids.append(piece)
            text = self.encoder.decode(ids)
            if text.startswith(told) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
                yield text[len(told) :]
                told = text
        yield self.encoder.decode(ids)[len(told) :]
