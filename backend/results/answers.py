"""Talking to a run's result, to its base model, or to both: the same weights, the adapter switched on and off."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from finetty.backend.conversation import Encoder, Turn, load_encoder
from finetty.backend.messages import Refusal, message
from finetty.backend.planning.plan import Plan
from finetty.backend.runs import Run
from finetty.backend.training.checkpoints import last_checkpoint
from finetty.backend.training.place import model_folder, on_cpu, show_devices

NOTHING_SAVED = message("results.nothing_saved", "The run {run} has neither a result nor a checkpoint.")
RESUME_IT = message("results.resume_it", "Train it first: `finetty resume {run}`.")

LONGEST_ANSWER = 1024
"""In tokens."""


@dataclass(frozen=True)
class Answer:
    """One prompt's answers; None for the model that was not asked."""

    prompt: str
    base: str | None
    tuned: str | None


class Chat:
    """A run's model in memory, ready to answer. Opening it loads torch and the weights: seconds to minutes."""

    def __init__(self, run: Run) -> None:
        """Load the result, or where there is none the last checkpoint. Raises Refusal when there is neither."""
        self.run = run
        plan = Plan.from_json(run.plan_document())
        self._recipe, self._on_cpu = plan.recipe, on_cpu(plan)
        self._folder = model_folder(self._recipe)
        show_devices(self._recipe, on_cpu=self._on_cpu)
        self.encoder: Encoder = load_encoder(self._folder, self._recipe)
        self._tuned = self._load_tuned()
        self._base: Any = None

    def answer(
        self,
        turns: Sequence[Turn],
        *,
        base: bool = False,
        temperature: float = 0.0,
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
                model, switch = self._model(base=base)
                with switch:
                    answer_ids(
                        model,
                        self.encoder,
                        turns,
                        longest=longest,
                        temperature=temperature,
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

    def _model(self, *, base: bool) -> tuple[Any, AbstractContextManager[Any]]:
        if not base:
            return self._tuned, nullcontext()
        if self._recipe.method.name == "lora":
            return self._tuned, self._tuned.disable_adapter()
        if self._base is None:
            self._base = self._load_base()
        return self._base, nullcontext()

    def _load_base(self) -> Any:
        from finetty.backend.training.load import load_model

        return load_model(self._folder, self._recipe, on_cpu=self._on_cpu, to_train=False).eval()

    def _load_tuned(self) -> Any:
        from finetty.backend.training.load import load_model

        lora = self._recipe.method.name == "lora"
        if not self.run.output.is_dir():
            return self._from_checkpoint()
        if not lora:
            return load_model(self.run.output, self._recipe, on_cpu=self._on_cpu, to_train=False).eval()
        from peft import PeftModel

        return PeftModel.from_pretrained(self._load_base(), str(self.run.output)).eval()

    def _from_checkpoint(self) -> Any:
        from finetty.backend.training.methods import prepare
        from finetty.backend.training.trained import put_back

        checkpoint = last_checkpoint(self.run.checkpoints)
        if checkpoint is None:
            raise Refusal(NOTHING_SAVED(run=self.run.id), RESUME_IT(run=self.run.id))
        model = prepare(self._load_base(), self._recipe)
        put_back(model, checkpoint)
        return model.requires_grad_(False).eval()


def answers(
    run: Run, prompts: Sequence[str], *, base: bool = True, tuned: bool = True, longest: int = LONGEST_ANSWER
) -> Iterator[Answer]:
    """Each prompt answered greedily by the base model, the tuned one or both. Raises Refusal."""
    chat = Chat(run)

    def said(prompt: str, *, by_base: bool) -> str:
        return "".join(chat.answer([Turn("user", prompt)], base=by_base, longest=longest)).strip()

    for prompt in prompts:
        yield Answer(
            prompt,
            said(prompt, by_base=True) if base else None,
            said(prompt, by_base=False) if tuned else None,
        )
