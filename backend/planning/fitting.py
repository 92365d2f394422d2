"""Make it fit: the changes that bring a run into the memory that is free, mildest first. Pure, built on plan()."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetty.backend.dataset.facts import DataFacts
from finetty.backend.machine.facts import MachineFacts
from finetty.backend.memory import longest_row
from finetty.backend.messages import Message, message
from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning.plan import Plan, Verdict
from finetty.backend.planning.planner import plan
from finetty.backend.planning.verdict import OVER, verdict_at
from finetty.backend.recipe import Recipe, value_of, with_values

LIGER = message("fit.liger", "nothing of what is learned; one more library takes part.")
MICRO_BATCH = message(
    "fit.micro_batch",
    "a little speed: the same batch goes through in {parts} parts, and what is learned stays the same.",
)
CHECKPOINTING = message(
    "fit.checkpointing", "about a third more time: what is not kept is computed again. What is learned stays the same."
)
OPTIMIZER = message("fit.optimizer", "hardly any quality: the optimizer's states are rounded to 8 bits.")
COMPUTE = message("fit.compute", "some precision, and time where the processor has no fast arithmetic of 16 bits.")
FOUR_BITS = message(
    "fit.four_bits", "some speed and a little quality: the model's own weights are rounded to 4 bits (QLoRA)."
)
RANK = message("fit.rank", "room to learn: the adapter holds {share:.0%} of what it would have held.")
TO_LORA = message("fit.lora", "depth: small added matrices learn instead of the model's own weights.")
CUTOFF = message("fit.cutoff", "data: {count:,} of {rows:,} rows lose their ends.")
CUTOFF_UNKNOWN = message("fit.cutoff_unknown", "data: rows longer than {cutoff:,} tokens lose their ends.")

BY_MEMORY = (
    "training.micro_batch",
    "training.gradient_checkpointing",
    "training.optimizer",
    "precision.quantization",
)
"""What plan() chooses by memory; left to it, it may spend at once what a change saves."""
LEAST_SAVING = 0.01
"""The share of the peak below which a change is not worth its cost."""
SMALLEST_RANK, SHORTEST_CUTOFF = 4, 128


@dataclass(frozen=True)
class Change:
    """One change: the options' new values, and what they were; bytes of the peak that it saves after the changes before
    it; what it costs; and the peak and the verdict once it is made. A value may be the one that plan() had chosen.
    `exact`: the bytes are no estimate."""

    values: Mapping[str, Any]
    before: Mapping[str, Any]
    saved: int
    cost: Message
    needed: int
    verdict: Verdict
    exact: bool = False


Step = tuple[dict[str, Any], Message]
"""New values, and what they cost."""


@dataclass(frozen=True)
class _Case:
    """The recipe with the changes so far, and what plan() makes of it."""

    recipe: Recipe
    model: ModelFacts
    machine: MachineFacts
    data: DataFacts | None
    planned: Plan

    def value(self, option: str) -> Any:
        return value_of(self.planned.recipe, option)

    def with_values(self, values: Mapping[str, Any]) -> _Case:
        recipe = with_values(self.recipe, dict(values))
        return _Case(recipe, self.model, self.machine, self.data, plan(recipe, self.model, self.machine, self.data))

    @property
    def needed(self) -> int | None:
        return self.planned.memory.live.process if self.planned.memory.live else None

    @property
    def chosen_by_memory(self) -> dict[str, Any]:
        asked = {option: value_of(self.recipe, option) for option in BY_MEMORY}
        return {option: self.value(option) for option, value in asked.items() if value == "auto"}

    @property
    def problems(self) -> set[tuple[str | None, str]]:
        """Errors but that it does not fit."""
        return {(found.option, found.message.id) for found in self.planned.errors if found.message.id != OVER.id}


def make_fit(
    recipe: Recipe, model: ModelFacts | None, machine: MachineFacts, data: DataFacts | None
) -> tuple[Change, ...]:
    """The changes in the order to make them, until the run fits; none where it fits or its memory is not known.

    The effective batch is never changed. Where even all of them are not enough, the last one's verdict says so.
    """
    if model is None:
        return ()
    asked = _Case(recipe, model, machine, data, plan(recipe, model, machine, data))
    made: list[Step] = []
    here = asked
    for ways in WAYS:
        if here.planned.memory.verdict not in ("tight", "over"):
            break
        step = _mildest(here, ways)
        if step is not None:
            made.append(step)
            here = here.with_values(step[0])
    return _told(asked, _needed(asked, made) if here.planned.memory.verdict == "fits" else made)


def _mildest(here: _Case, ways: Callable[[_Case], Iterator[Step]]) -> Step | None:
    """The mildest of the ways that fits, else the one that saves most; None where none is possible or worth it."""
    best: Step | None = None
    most = LEAST_SAVING * (here.needed or 0)
    for values, cost in ways(here):
        for pins in ({}, here.chosen_by_memory):
            case = here.with_values({**pins, **values})
            if here.needed is None or case.needed is None or case.problems - here.problems:
                continue
            if here.needed - case.needed > most:
                most, best = here.needed - case.needed, ({**pins, **values}, cost)
                if case.planned.memory.verdict == "fits":
                    return best
    return best


def _needed(asked: _Case, made: list[Step]) -> list[Step]:
    """Without the steps that a later one made unnecessary: the harshest that can be spared goes first."""
    for step in reversed(made[:-1]):
        rest = [other for other in made if other is not step]
        if asked.with_values(_together(rest)).planned.memory.verdict == "fits":
            made = rest
    return made


def _together(steps: Iterable[Step]) -> dict[str, Any]:
    return {option: value for values, _cost in steps for option, value in values.items()}


def _told(asked: _Case, made: list[Step]) -> tuple[Change, ...]:
    changes = []
    here = asked
    for values, cost in made:
        case = here.with_values(values)
        if here.needed is not None and case.needed is not None:
            before = {option: here.value(option) for option in values}
            verdict = case.planned.memory.verdict
            changes.append(Change(values, before, here.needed - case.needed, cost, case.needed, verdict))
        here = case
    return tuple(changes)


def steps_along(changes: Sequence[Change], recipe: Recipe) -> Iterator[Recipe]:
    """The recipe as it is, and after each of the changes."""
    yield recipe
    for change in changes:
        recipe = with_values(recipe, dict(change.values))
        yield recipe


def priced(changes: Sequence[Change], peaks: Mapping[int, int], free: int) -> tuple[Change, ...]:
    """The changes, those with exact bytes whose peaks before and after are known. `peaks`: by the changes made."""
    return tuple(
        replace(
            change,
            saved=peaks[made] - peaks[made + 1],
            needed=peaks[made + 1],
            exact=True,
            verdict=verdict_at(peaks[made + 1], free),
        )
        if made in peaks and made + 1 in peaks
        else change
        for made, change in enumerate(changes)
    )


def _liger(case: _Case) -> Iterator[Step]:
    if case.machine.usable("liger_kernel") and not case.value("acceleration.liger"):
        yield {"acceleration.liger": True}, LIGER()


def _micro_batch(case: _Case) -> Iterator[Step]:
    """Whole parts of the batch, the largest first."""
    batch, now = case.value("training.batch"), case.value("training.micro_batch")
    for rows in range(min(now - 1, batch), 0, -1):
        if batch % rows == 0:
            yield {"training.micro_batch": rows}, MICRO_BATCH(parts=batch // rows)


def _checkpointing(case: _Case) -> Iterator[Step]:
    if not case.value("training.gradient_checkpointing"):
        yield {"training.gradient_checkpointing": True}, CHECKPOINTING()


def _optimizer(case: _Case) -> Iterator[Step]:
    if case.machine.usable("bitsandbytes") and "8bit" not in case.value("training.optimizer"):
        yield {"training.optimizer": "adamw_8bit"}, OPTIMIZER()


def _compute(case: _Case) -> Iterator[Step]:
    if case.value("precision.compute") == "fp32":
        yield {"precision.compute": "bf16"}, COMPUTE()


def _to_lora(case: _Case) -> Iterator[Step]:
    if case.value("method.name") != "lora":
        yield {"method.name": "lora"}, TO_LORA()


def _four_bits(case: _Case) -> Iterator[Step]:
    on_card = case.planned.memory.device is not None and case.planned.memory.device.kind == "cuda"
    if on_card and case.value("method.name") == "lora" and case.value("precision.quantization") in ("none", "int8"):
        yield {"precision.quantization": "nf4"}, FOUR_BITS()


def _rank(case: _Case) -> Iterator[Step]:
    if case.value("method.name") != "lora":
        return
    now = rank = case.value("method.rank")
    while rank // 2 >= SMALLEST_RANK:
        rank //= 2
        yield {"method.rank": rank}, RANK(share=rank / now)


def _cutoff(case: _Case) -> Iterator[Step]:
    longest = longest_row(case.value("dataset.cutoff"), case.data, packing=case.value("dataset.packing")) or 0
    cutoff = 1 << max(0, longest - 1).bit_length() - 1
    while cutoff >= SHORTEST_CUTOFF:
        yield {"dataset.cutoff": cutoff}, _cut_rows(case.data, cutoff)
        cutoff //= 2


def _cut_rows(data: DataFacts | None, cutoff: int) -> Message:
    if data is None or not data.measured:
        return CUTOFF_UNKNOWN(cutoff=cutoff)
    return CUTOFF(count=data.cut_at(cutoff), rows=len(data.lengths))


WAYS: tuple[Callable[[_Case], Iterator[Step]], ...] = (
    _micro_batch,
    _liger,
    _checkpointing,
    _optimizer,
    _four_bits,
    _compute,
    _to_lora,
    _four_bits,
    _rank,
    _cutoff,
)
"""Mildest first: what costs only time, then precision, then what can be learned, and last of all the data."""
