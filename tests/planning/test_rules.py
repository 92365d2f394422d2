"""The starting rules: each `auto` gets the value that the rule says, with a reason."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from tests.planning.conftest import EVERYTHING, Planner, autos, card, data, machine

from finetty.backend.dataset.blocks import best_fit, cut_texts
from finetty.backend.dataset.facts import DataFacts
from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning import Plan, steps_of


def value(plan: Plan, option: str) -> object:
    return next(choice.value for choice in plan.choices if choice.option == option)


@pytest.mark.parametrize(
    ("rows", "batch", "epochs", "rank"),
    [(60, 4, 3.0, 16), (400, 8, 3.0, 16), (900, 16, 3.0, 16), (20_000, 16, 2.0, 32), (60_000, 16, 1.0, 64)],
)
def test_numbers_follow_the_rows(planned: Planner, rows: int, batch: int, epochs: float, rank: int) -> None:
    plan = planned(rows=data(rows))
    training = plan.recipe.training
    assert (training.batch, training.epochs, plan.recipe.method.rank) == (batch, epochs, rank)
    assert plan.recipe.method.alpha == 2 * rank
    assert training.learning_rate == pytest.approx(1e-3 * math.sqrt(batch / 16), rel=0.05)


@pytest.mark.parametrize(
    ("rows", "kept_back"), [(1, 0), (9, 3), (60, 20), (121, 20), (400, 40), (500, 25), (4000, 200), (99_999, 500)]
)
def test_validation_rows(planned: Planner, rows: int, kept_back: int) -> None:
    plan = planned(rows=data(rows))
    assert plan.validation_rows == kept_back and plan.train_rows == rows - kept_back


def test_full_tuning_learns_at_a_tenth(planned: Planner) -> None:
    assert planned("method.name=full").recipe.training.learning_rate == pytest.approx(
        (planned().recipe.training.learning_rate or 0) / 10  # type: ignore[operator]
    )


def test_large_models_learn_slower(planned: Planner, large: ModelFacts) -> None:
    small = planned().recipe.training
    assert planned(model=large, on=machine(card(80))).recipe.training.learning_rate == pytest.approx(
        (small.learning_rate or 0) / 5,  # type: ignore[operator]
        rel=0.05,
    )
    huge = replace(large, parameters=14_000_000_000)
    rate = planned(model=huge, on=machine(card(80))).recipe.training.learning_rate
    usual = planned(model=large, on=machine(card(80))).recipe.training.learning_rate
    assert rate == pytest.approx(usual / 2, rel=0.05)  # type: ignore[operator]


def test_rslora_takes_the_square_root(planned: Planner) -> None:
    assert planned("method.rslora=true", "method.rank=64").recipe.method.alpha == 16


@pytest.mark.parametrize(("longest", "cutoff"), [(64, 64), (65, 128), (500, 512), (9000, 8192)])
def test_the_cutoff_holds_the_longest_row(planned: Planner, longest: int, cutoff: int) -> None:
    assert planned(rows=data(400, longest)).recipe.dataset.cutoff == cutoff


def test_without_measured_rows_the_cutoff_is_an_upper_bound(planned: Planner) -> None:
    plan = planned(rows=data(400, lengths=(), measured=False))
    assert plan.recipe.dataset.cutoff == 2048
    assert "upper bound" in str(plan.reason("dataset.cutoff"))


def test_ten_checkpoints_and_a_short_warm_up(planned: Planner) -> None:
    plan = planned()
    assert plan.steps == 135
    assert plan.recipe.output.checkpoint_every == 14 and plan.recipe.training.warmup == 7
    assert planned("training.max_steps=5").recipe.training.warmup == 0


@pytest.mark.parametrize(
    ("capability", "compute"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((12, 0), "bf16"), (None, "fp16")]
)
def test_number_format_by_capability(planned: Planner, capability: tuple[int, int] | None, compute: str) -> None:
    assert planned(on=machine(card(24, capability=capability))).recipe.precision.compute == compute


def test_a_processor_computes_in_fp32_unless_only_bf16_fits(planned: Planner, large: ModelFacts) -> None:
    assert planned(on=machine(cpu_fast_bf16=True)).recipe.precision.compute == "fp32"
    assert planned(on=machine(cpu_fast_bf16=True), model=large).recipe.precision.compute == "bf16"
    assert planned(model=large).recipe.precision.compute == "fp32"


def test_quantized_only_where_sixteen_bits_do_not_fit(planned: Planner, large: ModelFacts) -> None:
    bits = {"bitsandbytes": EVERYTHING["bitsandbytes"]}
    roomy = planned(model=large, on=machine(card(80), libraries=bits))
    narrow = planned(model=large, on=machine(card(16), libraries=bits))
    assert roomy.recipe.precision.quantization == "none"
    assert narrow.recipe.precision.quantization == "nf4" and narrow.memory.verdict == "fits"


def test_flash_attention_is_the_default_where_it_runs(planned: Planner) -> None:
    plan = planned(on=machine(card(24), libraries=EVERYTHING))
    assert plan.recipe.acceleration.attention == "fa2" and plan.recipe.dataset.packing is True
    old = planned(on=machine(card(24, capability=(7, 5)), libraries=EVERYTHING))
    assert old.recipe.acceleration.attention == "sdpa" and old.recipe.dataset.packing is False
    assert planned().recipe.acceleration.attention == "sdpa"


def test_a_model_class_that_refuses_kernels_gets_eager(planned: Planner, small: ModelFacts) -> None:
    odd = replace(small, attention_refuses=("sdpa", "fa2"))
    assert planned(model=odd, on=machine(card(24), libraries=EVERYTHING)).recipe.acceleration.attention == "eager"


def test_checkpointing_only_where_memory_asks_for_it(planned: Planner, large: ModelFacts) -> None:
    long_rows = data(400, 4000)
    roomy = planned(model=large, on=machine(card(80)), rows=data(400, 200))
    narrow = planned(model=large, on=machine(card(24)), rows=long_rows)
    assert roomy.recipe.training.gradient_checkpointing is False
    assert narrow.recipe.training.gradient_checkpointing is True


def test_the_card_with_most_free_memory(planned: Planner) -> None:
    cards = (card(24, free=3, index=0), card(24, free=20, index=1))
    plan = planned(on=machine(*cards))
    assert plan.recipe.hardware.devices == cards[1].uuid and plan.memory.device is not None
    assert plan.memory.device.free == 20 << 30
    assert planned("hardware.devices=0", on=machine(*cards)).recipe.hardware.devices == cards[0].uuid
    slices = [replace(card(5), uuid=f"MIG-{number}-aaaaaaaa") for number in range(2)]
    cut = machine(*slices, cards[1])
    assert planned("hardware.devices=0", on=cut).recipe.hardware.devices == slices[0].uuid
    both = planned("hardware.devices=[0, 1]", on=cut)
    assert both.recipe.hardware.devices == [slices[0].uuid, cards[1].uuid]
    assert any("several MIG slices" in str(found.message) for found in both.errors)
    by_torchrun = planned(on=replace(machine(*slices), processes=2))
    assert any("several MIG slices" in str(found.message) for found in by_torchrun.errors)
    assert planned("hardware.devices=cpu", on=machine(*cards)).memory.device.kind == "cpu"  # type: ignore[union-attr]


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
@pytest.mark.parametrize("cards", [(), (card(24),), (card(8, capability=(7, 5)),)])
def test_nothing_is_left_auto_and_everything_has_a_reason(
    planned: Planner, method: str, cards: tuple[object, ...]
) -> None:
    plan = planned(f"method.name={method}", on=machine(*cards))  # type: ignore[arg-type]
    assert autos(plan.recipe) == []
    assert all(choice.reason.text for choice in plan.choices)
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again.to_json() == plan.to_json() and again.recipe == plan.recipe


def test_what_the_user_gave_is_kept(planned: Planner) -> None:
    given = ("training.batch=32", "training.micro_batch=8", "training.learning_rate=0.001", "method.rank=4")
    plan = planned(
        *given, "training.epochs=7.0", "dataset.validation=10", "precision.compute=fp32", "dataset.cutoff=512"
    )
    training = plan.recipe.training
    assert (training.batch, training.micro_batch, training.learning_rate, training.epochs) == (32, 8, 0.001, 7)
    assert (plan.recipe.method.rank, plan.validation_rows, plan.recipe.dataset.cutoff) == (4, 10, 512)
    assert not {"training.batch", "method.rank", "dataset.cutoff"} & {choice.option for choice in plan.choices}


def test_planning_a_resolved_recipe_changes_nothing(planned: Planner, small: ModelFacts) -> None:
    from finetty.backend.planning import plan

    first = planned()
    second = plan(first.recipe, small, machine(), data())
    assert second.recipe == first.recipe and second.steps == first.steps


@pytest.mark.parametrize(
    ("sequences", "micro_batch", "batch", "epochs", "steps"),
    [(101, 4, 4, 3, 78), (100, 4, 16, 1, 7), (1, 1, 16, 3, 3), (17, 4, 8, 1.5, 5), (16, 4, 6, 1, 2)],
)
def test_the_last_step_of_an_epoch_takes_what_is_left(
    sequences: int, micro_batch: int, batch: int, epochs: float, steps: int
) -> None:
    assert steps_of(sequences, micro_batch, batch, epochs).steps == steps


def test_rows_of_a_validation_file_are_counted_and_cost_no_training_rows(planned: Planner) -> None:
    plan = planned("dataset.validation=held-out.jsonl", rows=data(400, validation_rows=37))
    assert (plan.train_rows, plan.validation_rows) == (400, 37)
    assert planned("dataset.validation=0.1", rows=data(400)).train_rows == 360


def test_the_cutoff_is_capped_by_memory_where_nothing_else_helps(planned: Planner, large: ModelFacts) -> None:
    long = data(400, length=8000)
    plan = planned(model=large, on=machine(card(10), libraries=EVERYTHING), rows=long)
    cutoff = plan.recipe.dataset.cutoff
    assert isinstance(cutoff, int) and 512 <= cutoff < 8000 and cutoff % 64 == 0
    assert "most that fits" in str(plan.reason("dataset.cutoff")) and plan.memory.verdict == "fits"
    assert any(found.option == "dataset.cutoff" and found.level == "warning" for found in plan.findings)
    assert planned(model=large, on=machine(card(80)), rows=long).recipe.dataset.cutoff == 8000
    asked = planned("dataset.cutoff=8000", model=large, on=machine(card(10), libraries=EVERYTHING), rows=long)
    assert asked.recipe.dataset.cutoff == 8000


def test_the_templates_date_stays_the_plans(planned: Planner) -> None:
    assert planned(rows=data(template_date="2026-11-24")).recipe.template.date == "2026-11-24"
    assert planned().recipe.template.date is None
    asked = planned("template.date=2024-07-26", rows=data(template_date="2024-07-26"))
    assert asked.recipe.template.date == "2024-07-26"


TEXTS = tuple(40 + 37 * number % 900 for number in range(300))


def texts(**changes: Any) -> DataFacts:
    order = tuple(reversed(range(len(TEXTS))))
    return data(len(TEXTS), lengths=TEXTS, texts=TEXTS, held_out_order=order, **changes)


def test_texts_fill_sequences_and_the_steps_are_those_of_the_sequences(planned: Planner) -> None:
    plan = planned(rows=texts())
    cutoff = plan.recipe.dataset.cutoff
    assert plan.recipe.dataset.packing is True and plan.reason("dataset.packing").id == "plan.packing.texts"  # type: ignore[union-attr]
    assert isinstance(cutoff, int) and 256 <= cutoff <= 2048 and cutoff % 64 == 0
    kept_back = plan.validation_rows
    assert kept_back
    learned = TEXTS[: len(TEXTS) - kept_back]
    sequences = len(best_fit(cut_texts(learned, cutoff), cutoff))
    training = plan.recipe.training
    counted = steps_of(sequences, int(training.micro_batch), int(training.batch), float(training.epochs))
    assert plan.steps == counted.steps
    short, long = (planned("training.micro_batch=1", f"dataset.cutoff={size}", rows=texts()) for size in (1024, 4096))
    assert long.memory.live.process > short.memory.live.process, "sequences are as long as the cutoff, not the texts"  # type: ignore[union-attr]


def test_texts_are_kept_apart_where_flash_attention_is(planned: Planner, small: ModelFacts) -> None:
    plan = planned(rows=texts(), on=machine(card(24), libraries=EVERYTHING))
    assert plan.reason("dataset.packing").id == "plan.packing.texts_apart"  # type: ignore[union-attr]


def test_texts_are_left_alone_where_packing_is_off_or_conversations_are_among_them(planned: Planner) -> None:
    off = planned("dataset.packing=false", rows=texts())
    assert off.recipe.dataset.packing is False and off.recipe.dataset.cutoff == -(-max(TEXTS) // 64) * 64
    mixed = planned(rows=data(len(TEXTS), lengths=TEXTS, texts=TEXTS[:200]))
    assert mixed.recipe.dataset.packing is False
