"""Out of memory, told apart from other errors and said plainly."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import TypeVar

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.planning.plan import Memory
from finetty.backend.recipe import Recipe
from finetty.backend.training.commands import Commands, Stopped
from finetty.backend.training.journal import Journal

STAGES = {
    "loading": message("training.out_of_memory.loading", "Memory ran out while the model was loaded."),
    "preflight": message("training.out_of_memory.preflight", "Memory ran out on the longest batch, before step 1."),
    "running": message("training.out_of_memory.running", "Memory ran out in training."),
    "evaluation": message("training.out_of_memory.evaluation", "Memory ran out in an evaluation."),
    "saving": message("training.out_of_memory.saving", "Memory ran out while the result was saved."),
}
WITH_SIZES = {
    "loading": message(
        "training.out_of_memory.loading.sizes",
        "Memory ran out while the model was loaded: {predicted} GiB were predicted and {free} GiB were free.",
    ),
    "preflight": message(
        "training.out_of_memory.preflight.sizes",
        "Memory ran out on the longest batch, before step 1: {predicted} GiB were predicted and {free} GiB were free.",
    ),
    "running": message(
        "training.out_of_memory.running.sizes",
        "Memory ran out in training: {predicted} GiB were predicted and {free} GiB were free.",
    ),
    "evaluation": message(
        "training.out_of_memory.evaluation.sizes",
        "Memory ran out in an evaluation: {predicted} GiB were predicted and {free} GiB were free.",
    ),
    "saving": message(
        "training.out_of_memory.saving.sizes",
        "Memory ran out while the result was saved: {predicted} GiB were predicted and {free} GiB were free.",
    ),
}
TAKE_LESS = message(
    "training.take_less",
    "Set training.micro_batch lower with the same training.batch, then training.gradient_checkpointing: true, "
    "then a shorter dataset.cutoff.",
)
LOAD_LESS = message(
    "training.load_less", "Set precision.quantization: nf4, choose a smaller model, or free memory on this machine."
)
TAKE_CHECKPOINTING = message(
    "training.take_checkpointing",
    "One row at a time is the least. Set training.gradient_checkpointing: true, then a shorter dataset.cutoff.",
)
TAKE_SHORTER = message(
    "training.take_shorter",
    "One row at a time with gradient checkpointing is the least. Set a shorter dataset.cutoff, or choose a smaller "
    "model.",
)
FEWER_ROWS = message(
    "training.fewer_rows",
    "The run goes on from the same step with {rows} rows at once; as many as before stand behind each step.",
)
CHOOSE = message(
    "training.choose_fewer_rows",
    "The run waits {minutes} minutes for an answer: `finetty resume {run}` goes on from the same step with {rows} rows "
    "at once and the same batch, `finetty stop {run}` saves and ends.",
)

SMALLER_STATES = message(
    "training.smaller_states",
    "The optimizer's own memory does not fit: set training.optimizer: adamw_8bit or adafactor, or method.name: lora.",
)

_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")

Value = TypeVar("Value")


class OutOfMemory(Refusal):
    """Memory ran out and the run cannot go on, or may not without being asked."""


class Room:
    """How many rows go through the model at once: half of them after each time that memory ran out.

    What happens then is the recipe's to say; `seconds_to_answer` is 0 where nobody can be asked. Where the process is
    not `alone` in its run, the run ends.
    """

    def __init__(
        self,
        journal: Journal,
        commands: Commands,
        recipe: Recipe,
        memory: Memory,
        *,
        rows: int,
        seconds_to_answer: float,
        alone: bool = True,
    ) -> None:
        self._journal, self._commands, self._recipe, self._memory = journal, commands, recipe, memory
        self._seconds_to_answer, self._alone = seconds_to_answer, alone
        self.rows = rows

    def make(self, stage: str) -> None:
        """Halve the rows, with consent; `stage` is the preflight as long as that is under way.

        Raises OutOfMemory without consent, Stopped when the answer is to stop.
        """
        ran_out = said("preflight" if self._journal.now == "preflight" else stage, self._memory)
        if self.rows == 1:
            checkpointing = self._recipe.training.gradient_checkpointing is True
            option = "dataset.cutoff" if checkpointing else "training.gradient_checkpointing"
            raise OutOfMemory(ran_out, TAKE_SHORTER() if checkpointing else TAKE_CHECKPOINTING(), option=option)
        fewer = self.rows // 2
        if not self._alone:  # the other processes would wait for this one's gradients
            raise OutOfMemory(ran_out, TAKE_LESS(), option="training.micro_batch")
        if self._recipe.training.on_out_of_memory == "ask":
            self._ask(ran_out, fewer)
        elif self._recipe.training.on_out_of_memory == "stop":
            raise OutOfMemory(ran_out, TAKE_LESS(), option="training.micro_batch")
        self._journal.alert("warning", ran_out, FEWER_ROWS(rows=fewer), option="training.micro_batch")
        self.rows = fewer

    def _ask(self, ran_out: Message, fewer: int) -> None:
        seconds = self._seconds_to_answer
        if seconds > 0:
            advice = CHOOSE(minutes=round(seconds / 60), run=self._journal.run.id, rows=fewer)
            choices = ("shrink", "stop-and-save", "stop")
            self._journal.alert(
                "warning",
                ran_out,
                advice,
                option="training.micro_batch",
                choices=choices,
                rows=fewer,
                until=time.time() + seconds,
            )
            if self._commands.chosen(seconds):
                return
            if self._commands.ending:
                raise Stopped
        raise OutOfMemory(ran_out, TAKE_LESS(), option="training.micro_batch")


def advice(stage: str) -> Message:
    """For what ran out where fewer rows at once cannot help by themselves."""
    return LOAD_LESS() if stage == "loading" else TAKE_LESS()


def tried(work: Callable[[], Value]) -> Value | None:
    """What `work` returns; None when memory ran out, which stands in the console log."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.print_exception(error)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """torch's own error on a card, its allocator's RuntimeError on a CPU, or Python's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def said(state: str, memory: Memory) -> Message:
    """Where it ran out, and, where plan() knew them, what was predicted and what was free."""
    stage = state if state in STAGES else "running"
    predicted = memory.exact or memory.live
    free = memory.device.free if memory.device else None
    if predicted is None or free is None:
        return STAGES[stage]()
    return WITH_SIZES[stage](predicted=_gib(predicted.process), free=_gib(free))


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f}"
