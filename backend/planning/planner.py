"""plan(): a pure function from what is asked and known to what will happen and why. No I/O, under 3 ms."""

from __future__ import annotations

from typing import Any

from finetty.backend.conversation.loading import OWN, OWN_NAME
from finetty.backend.dataset.facts import DataFacts
from finetty.backend.machine.facts import MachineFacts
from finetty.backend.memory import trained_parameters
from finetty.backend.messages import message
from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning import arithmetic, checks, cost, device, loss, memory, numbers, sharding, variants
from finetty.backend.planning.draft import Draft
from finetty.backend.planning.plan import Plan
from finetty.backend.recipe import Recipe

RECOGNISED = message("plan.format.recognised", "recognised from the rows")
THINKS = message("plan.thinking.yes", "{rows:,} rows bring their reasoning")
DATE = message("plan.date.frozen", "the template asks for today's date: the day of this plan stays the run's")
DATE_NOT = message("plan.date.none", "the template asks for no date")
THINKS_NOT = message("plan.thinking.no", "no row brings its reasoning")


def plan(recipe: Recipe, model: ModelFacts | None, machine: MachineFacts, data: DataFacts | None) -> Plan:
    """Every `auto` of the recipe resolved with a reason, every problem with its fix, and what the run will take.

    The plan's recipe has an `auto` left only where an error finding says why.
    """
    draft = Draft(recipe, model, machine, data)
    device.choose_device(draft)
    checks.check_model(draft)
    checks.check_data(draft)
    _choose_reading(draft)
    numbers.choose_validation(draft)
    numbers.choose_cutoff(draft)
    numbers.choose_adapter(draft)
    numbers.choose_layers(draft)
    _choose_arithmetic(draft)
    numbers.choose_epochs(draft)
    numbers.choose_batch(draft)
    memory.choose_by_memory(draft)
    numbers.choose_learning_rate(draft)
    schedule = numbers.schedule(draft)
    numbers.choose_course(draft, schedule.steps if schedule else None)
    for check in (
        checks.check_cutoff,
        checks.check_method,
        checks.check_batch,
        checks.check_shrinking,
        checks.check_goal,
        variants.check_variants,
        sharding.check_sharding,
    ):
        check(draft)
    return _finished(draft, schedule)


def _choose_arithmetic(draft: Draft) -> None:
    arithmetic.choose_compute(draft)
    arithmetic.check_accelerators(draft)
    loss.choose_loss(draft)
    arithmetic.choose_quantization(draft)
    arithmetic.choose_attention(draft)
    arithmetic.choose_packing(draft)


def _choose_reading(draft: Draft) -> None:
    """What was found while reading: the files' formats, the template, whether rows reason."""
    data, model = draft.data, draft.model
    if data is not None:
        files = [
            file.model_copy(update={"format": data.formats.get(file.path, file.format)})
            if file.format == "auto"
            else file
            for file in draft.asked.dataset.train
        ]
        if files != draft.asked.dataset.train:
            draft.decide("dataset.train", files, RECOGNISED(), shown=", ".join(sorted({file.format for file in files})))
        reasoning = data.reasoning_rows
        draft.choose("template.thinking", bool(reasoning), THINKS(rows=reasoning) if reasoning else THINKS_NOT())
        draft.choose("template.date", data.template_date, DATE() if data.template_date else DATE_NOT())
        draft.findings += data.template_findings
        if data.template and data.template_reason:
            draft.choose("template.name", data.template, data.template_reason)
    draft.choose("template.date", None, DATE_NOT())
    if model is not None and model.has_chat_template:
        draft.choose("template.name", OWN_NAME, OWN())


def _finished(draft: Draft, schedule: Any) -> Plan:
    recipe, job = draft.recipe(), draft.job()
    trained = trained_parameters(job, draft.model) if job and draft.model else None
    judged = memory.judge(draft, recipe, job)
    disk, time = cost.disk(draft, trained), cost.time(draft, schedule)
    train_rows, validation_rows = checks.row_counts(draft)
    return Plan(
        recipe=recipe,
        choices=tuple(draft.choices),
        findings=tuple(sorted(draft.findings, key=lambda found: ("error", "warning", "note").index(found.level))),
        total_parameters=draft.model.parameters if draft.model else None,
        trainable_parameters=trained,
        memory=judged,
        disk=disk,
        time=time,
        steps=schedule.steps if schedule else None,
        train_rows=train_rows,
        validation_rows=validation_rows,
    )
