"""Talking to a run's result, to its base model, or to both, in the memory of one model.

An adapter is switched on and off; after full and freeze tuning the weights of the side that is asked take the other's
place.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetty.backend.conversation import Turn
from finetty.backend.messages import Refusal
from finetty.backend.results.source import NOTHING_SAVED, RESUME_IT, Source, source_of
from finetty.backend.results.speaker import LONGEST_ANSWER, Speaker
from finetty.backend.runs import Run
from finetty.backend.training.checkpoints import last_checkpoint
from finetty.backend.training.place import settle


@dataclass(frozen=True)
class Answer:
    """One prompt's answers; None for the model that was not asked."""

    prompt: str
    base: str | None
    tuned: str | None


class Chat(Speaker):
    """A run's model in memory, its base's weights in the same place or behind a switch."""

    def __init__(self, run: Run) -> None:
        """Load the result, or where there is none the last checkpoint. Raises Refusal when there is neither."""
        self.run, self.source = run, source_of(run)
        settle(self.source.plan)
        self.encoder = self.source.encoder
        self._model: Any = self._load_tuned()
        self._is_base = False

    def model(self, *, base: bool) -> tuple[Any, AbstractContextManager[Any]]:
        """An adapter is switched off for the base."""
        if self.source.is_adapter:
            return self._model, self._model.disable_adapter() if base else nullcontext()
        if base != self._is_base or self._model is None:
            self._turn(base=base)
        return self._model, nullcontext()

    def _turn(self, *, base: bool) -> None:
        """Make the model in memory the other side's."""
        from finetty.backend.results.weights_in_place import put_weights

        folder = self._folder(base=base)
        if folder is None or self._model is None or not put_weights(self._model, folder):
            self._model = None  # and so it stays where the other side cannot be loaded
            gc.collect()
            self._model = load_base(self.source) if base else self._load_tuned()
        self._is_base = base

    def _folder(self, *, base: bool) -> Path | None:
        """Where this side's weights are whole; None where the tuned ones are a checkpoint's, kept as changes alone."""
        if base:
            return self.source.base
        return self.run.output if self.run.output.is_dir() else None

    def _load_tuned(self) -> Any:
        if not self.run.output.is_dir():
            return model_from_checkpoint(self.source)
        if not self.source.is_adapter:
            return load_model_of(self.source, self.run.output)
        from peft import PeftModel

        return PeftModel.from_pretrained(load_base(self.source), str(self.run.output)).eval()


def load_base(source: Source) -> Any:
    """The base model as the recipe loads it, quantized where it says so."""
    return load_model_of(source, source.base)


def load_model_of(source: Source, folder: Path) -> Any:
    from finetty.backend.training.load import load_model

    return load_model(folder, source.recipe, on_cpu=source.on_cpu, to_train=False).eval()


def model_from_checkpoint(source: Source) -> Any:
    """The tuned model as the last checkpoint has it. Raises Refusal."""
    from finetty.backend.training.methods import prepare
    from finetty.backend.training.trained import put_back

    checkpoint = last_checkpoint(source.run.checkpoints)
    if checkpoint is None:
        raise Refusal(NOTHING_SAVED(run=source.run.id), RESUME_IT(run=source.run.id))
    model = prepare(load_base(source), source.recipe, source.run.path)
    put_back(model, checkpoint)
    return model.requires_grad_(False).eval()


def answers(
    chat: Chat,
    prompts: Sequence[str],
    *,
    base: bool = True,
    tuned: bool = True,
    system: str | None = None,
    temperature: float = 0.0,
    top_p: float = 1.0,
    longest: int = LONGEST_ANSWER,
) -> Iterator[Answer]:
    """Each prompt answered, greedily at temperature 0, by the base model, the tuned one or both. Raises Refusal."""
    before = [Turn("system", system)] if system else []

    def said(prompt: str, *, by_base: bool) -> str:
        turns = [*before, Turn("user", prompt)]
        pieces = chat.answer(turns, base=by_base, temperature=temperature, top_p=top_p, longest=longest)
        return "".join(pieces).strip()

    for prompt in prompts:
        yield Answer(
            prompt,
            said(prompt, by_base=True) if base else None,
            said(prompt, by_base=False) if tuned else None,
        )
