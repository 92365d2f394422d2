"""Base and tuned model side by side: a list of prompts answered by both, the losses, and what changed, in facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.results.answers import Answer, Chat, answers
from finetty.backend.results.card import perplexity
from finetty.backend.results.losses import Measured, held_out_losses
from finetty.backend.runs import Run

LOSS_CHANGED = message(
    "results.loss_changed",
    "On {rows} held-out rows the loss went from {before:.4f} to {after:.4f} ({share:+.0%}), perplexity from "
    "{perplexity_before:.2f} to {perplexity_after:.2f}.",
)
BETTER_CHECKPOINT = message(
    "results.better_checkpoint", "The checkpoint of step {step} is better on these rows: {loss:.4f}."
)
ANSWERS_CHANGED = message(
    "results.answers_changed",
    "Of {count} answers {changed} changed; their mean length went from {before:.0f} to {after:.0f} tokens, and "
    "{ended_before} before and {ended_after} now ended by themselves within {longest} tokens.",
)


@dataclass(frozen=True)
class Comparison:
    answers: tuple[Answer, ...]
    losses: tuple[Measured, ...]
    """Base, checkpoints by step, result; empty where no rows can be read that were held out."""
    facts: tuple[Message, ...]
    problem: Message | None
    """Why there are no losses."""

    def to_json(self) -> dict[str, Any]:
        return {
            "answers": [asdict(one) for one in self.answers],
            "losses": [asdict(one) | {"perplexity": perplexity(one.loss)} for one in self.losses],
            "facts": [one.text for one in self.facts],
            "problem": self.problem.text if self.problem else None,
        }


def compare(
    run: Run,
    prompts: Sequence[str],
    *,
    system: str | None = None,
    temperature: float = 0.0,
    top_p: float = 1.0,
    longest: int,
    tell: Callable[[Answer], None] = lambda _answer: None,
) -> Comparison:
    """Answer, greedily at temperature 0, and measure. Raises Refusal.

    One model is in memory, its adapter switched off and on. `tell` gets each prompt's answers as they come.
    """
    chat = Chat(run)
    how: dict[str, Any] = {"system": system, "temperature": temperature, "top_p": top_p, "longest": longest}
    answered = []
    for one in answers(chat, prompts, **how):
        tell(one)
        answered.append(one)
    losses: tuple[Measured, ...] = ()
    problem = None
    try:
        losses = tuple(sorted(held_out_losses(chat), key=_place))
    except Refusal as refusal:
        problem = refusal.said
    facts = [*_loss_facts(losses), *_answer_facts(chat, answered, longest)]
    return Comparison(tuple(answered), losses, tuple(facts), problem)


def _place(measured: Measured) -> tuple[int, int]:
    return ("base", "checkpoint", "result").index(measured.what), measured.step or 0


def _loss_facts(losses: Sequence[Measured]) -> list[Message]:
    if not losses:
        return []
    base, result = losses[0], losses[-1]
    facts = [
        LOSS_CHANGED(
            rows=base.rows,
            before=base.loss,
            after=result.loss,
            share=(result.loss - base.loss) / base.loss,
            perplexity_before=perplexity(base.loss),
            perplexity_after=perplexity(result.loss),
        )
    ]
    best = min(losses[1:], key=lambda one: one.loss)
    if best.step is not None and best.loss < result.loss - 1e-4:
        facts.append(BETTER_CHECKPOINT(step=best.step, loss=best.loss))
    return facts


def _answer_facts(chat: Chat, answered: Sequence[Answer], longest: int) -> list[Message]:
    if not answered:
        return []

    def lengths(texts: Sequence[str | None]) -> list[int]:
        return [len(chat.encoder.tokenizer.encode(text or "", add_special_tokens=False).ids) for text in texts]

    before, after = lengths([one.base for one in answered]), lengths([one.tuned for one in answered])
    return [
        ANSWERS_CHANGED(
            count=len(answered),
            changed=sum(one.base != one.tuned for one in answered),
            before=sum(before) / len(before),
            after=sum(after) / len(after),
            ended_before=sum(one < longest - 1 for one in before),
            ended_after=sum(one < longest - 1 for one in after),
            longest=longest,
        )
    ]
