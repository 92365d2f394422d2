"""The exact prediction of a plan: what to ask for it, and the plan with the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from finetty.backend.dataset.facts import DataFacts
from finetty.backend.machine.facts import MachineFacts
from finetty.backend.memory import job_of
from finetty.backend.messages import Finding, message
from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning import Plan, plan
from finetty.backend.planning.fitting import Change, steps_along
from finetty.backend.planning.verdict import with_exact
from finetty.backend.recipe import Recipe
from finetty.backend.replay.asking import LIVE_STAYS, Answer, Question, ask

UNFINISHED = message("replay.unfinished", "There is no exact prediction of a plan with open choices.")
UNKNOWN = message("replay.unknown", "There is no exact prediction for {what}.")
UNSLOTH, REMOTE_CODE, FSDP = "Unsloth", "remote code", "FSDP"


def question_of(
    plan: Plan, model: ModelFacts | None, machine: MachineFacts, data: DataFacts | None
) -> Question | Finding:
    """What to ask, or the note that says why nothing can be asked."""
    recipe, device = plan.recipe, plan.memory.device
    job = job_of(recipe, data)
    if job is None or device is None or model is None or model.folder is None:
        return Finding("note", None, UNFINISHED(), LIVE_STAYS())
    what = _beyond(recipe, model)
    if what is not None:
        return Finding("note", None, UNKNOWN(what=what), LIVE_STAYS())
    capability = next((gpu.capability for gpu in machine.gpus if gpu.name == device.name), None)
    return Question(job, model.folder, device, flash=capability is None or capability >= (8, 0))


def questions_along(
    changes: Sequence[Change],
    recipe: Recipe,
    model: ModelFacts | None,
    machine: MachineFacts,
    data: DataFacts | None,
) -> list[Question | None]:
    """What to ask for the recipe as it is and after each of the changes; None where nothing can be asked."""
    asked = [question_of(plan(one, model, machine, data), model, machine, data) for one in steps_along(changes, recipe)]
    return [one if isinstance(one, Question) else None for one in asked]


def _beyond(recipe: Recipe, model: ModelFacts) -> str | None:
    if recipe.hardware.fsdp:
        return FSDP
    if recipe.acceleration.unsloth:
        return UNSLOTH
    if recipe.model.trust_remote_code:
        return REMOTE_CODE
    if model.quantization is not None:
        return f"a {model.quantization} checkpoint"
    return None


def with_answer(plan: Plan, answer: Answer | Finding) -> Plan:
    """The plan with the exact figure; without one, with the note why, and the live figure as it was."""
    if isinstance(answer, Finding) or answer.prediction is None:
        finding = answer if isinstance(answer, Finding) else answer.finding
        return plan if finding is None else replace(plan, findings=(*plan.findings, finding))
    return with_exact(plan, answer.prediction)


def exactly(plan: Plan, model: ModelFacts | None, machine: MachineFacts, data: DataFacts | None) -> Plan:
    """The plan with the exact figure, waited for."""
    question = question_of(plan, model, machine, data)
    return with_answer(plan, question if isinstance(question, Finding) else ask(question))
