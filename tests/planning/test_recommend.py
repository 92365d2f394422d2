"""What is recommended and why: by the guide's rules, with plan()'s own figures, for the machine that is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from finetty.backend.machine.facts import Accelerator, MachineFacts
from finetty.backend.messages import Message
from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning import arithmetic, plan
from finetty.backend.planning.largest import largest
from finetty.backend.planning.methods import ANSWERS, method_of, planned_methods
from finetty.backend.planning.recommend import (
    AND,
    ENOUGH_FOR_BASE,
    FEW_FOR_BASE,
    FOUR_BITS_LOSE,
    FULL_TOO,
    LIGER_SAVES,
    LORA_CPU,
    LORA_FITS,
    LORA_SMALLER_STEPS,
    NOT_SHORT,
    QLORA_FITS,
    QLORA_STILL,
    ROWS_FEW,
    RSLORA_HIGH,
    SHORT,
    SHORT_NOT_INSTALLED,
    USUAL,
    Recommendation,
    recommended,
    recommended_model,
)
from finetty.backend.planning.verdict import GIB
from finetty.backend.recipe import Recipe, options, value_of, with_values

from .conftest import EVERYTHING, NOTHING, card, data, machine, recipe

BOUND = Accelerator("bitsandbytes", "0.50.2")


def advise(option: str, model: ModelFacts | None, on: MachineFacts, *settings: str, rows: Any = ...) -> Recommendation:
    facts = data() if rows is ... else rows
    asked = recipe(*settings)
    found = recommended(option, asked, model, on, facts, planned_methods(asked, model, on, facts))
    assert found is not None
    return found


def parts(said: Message) -> list[Message]:
    """The reasons that a reason is put together from."""
    if said.id != AND.id:
        return [said]
    return [*parts(said.values["first"]), *parts(said.values["second"])]


def test_lora_in_16_bits_is_recommended_where_it_fits_with_its_figure(large: ModelFacts) -> None:
    on = machine(card(24), libraries=EVERYTHING)
    found = advise("method.name", large, on)
    said = parts(found.reason)[0]
    assert (found.value, said.id) == ("lora", LORA_FITS.id)
    least = recipe("training.micro_batch=1", "training.gradient_checkpointing=true")
    planned = plan(with_values(least, ANSWERS["lora"]), large, on, data())
    assert planned.memory.live is not None
    assert said.values["needed"] == planned.memory.live.process / GIB
    assert "24.0 GB free on Card 0" in said.text
    assert advise("precision.quantization", large, on).value == "none"


def test_4_bits_are_recommended_where_16_do_not_fit(large: ModelFacts) -> None:
    on = machine(card(12), libraries=EVERYTHING)
    found = advise("method.name", large, on)
    assert (found.value, found.reason.id) == ("qlora", QLORA_FITS.id)
    values = found.reason.values
    assert values["needed"] < values["free"] < values["whole"]
    assert advise("precision.quantization", large, on).value == "nf4"
    chosen_by_plan = plan(recipe(), large, on, data()).recipe
    assert method_of(chosen_by_plan) == found.value


def test_without_bitsandbytes_the_command_that_brings_it_is_named(large: ModelFacts) -> None:
    on = machine(card(12))
    found = advise("method.name", large, on)
    assert found.value == "qlora"
    assert "Run: pip install bitsandbytes" in found.reason.text
    reason = plan(recipe(), large, on, data()).reason("precision.quantization")
    assert reason is not None
    assert reason.id == arithmetic.NO_BITSANDBYTES.id


def test_a_model_that_fits_in_no_way_is_said_to_be_too_large(large: ModelFacts) -> None:
    found = advise("method.name", large, machine(card(4), libraries=EVERYTHING))
    assert found.reason.id == QLORA_STILL.id


def test_a_large_micro_batch_is_no_reason_for_4_bits(large: ModelFacts) -> None:
    wanted = ("training.micro_batch=64", "training.batch=64", "training.gradient_checkpointing=false")
    found = advise("method.name", large, machine(card(24), libraries=EVERYTHING), *wanted)
    assert (found.value, found.reason.id) == ("lora", LORA_SMALLER_STEPS.id)


def test_a_processor_is_never_given_4_bits(small: ModelFacts) -> None:
    found = advise("method.name", small, machine(libraries={"bitsandbytes": BOUND}))
    assert (found.value, found.reason.id) == ("lora", LORA_CPU.id)


def test_a_family_that_loses_by_4_bits_is_named_and_warned_of(large: ModelFacts) -> None:
    losing = replace(large, model_type="qwen3_5")
    on = machine(card(12), libraries=EVERYTHING)
    said = parts(advise("method.name", losing, on).reason)
    assert [one.id for one in said] == [QLORA_FITS.id, FOUR_BITS_LOSE.id]
    assert "Qwen3.5" in said[1].text
    warned = [one for one in plan(recipe(), losing, on, data()).findings if one.option == "precision.quantization"]
    assert [(one.level, one.message.id) for one in warned] == [("warning", arithmetic.LOSES_BY_FOUR.id)]
    assert not [one for one in plan(recipe(), large, on, data()).findings if one.option == "precision.quantization"]


def test_full_tuning_is_mentioned_where_it_fits(small: ModelFacts, large: ModelFacts) -> None:
    on = machine(card(24), libraries=EVERYTHING)
    assert FULL_TOO.id in [one.id for one in parts(advise("method.name", small, on).reason)]
    assert FULL_TOO.id not in [one.id for one in parts(advise("method.name", large, on).reason)]


def test_unsloth_is_for_little_memory_and_flash_attention_for_the_rest(large: ModelFacts) -> None:
    little, enough = machine(card(12), libraries=EVERYTHING), machine(card(24), libraries=EVERYTHING)
    assert advise("acceleration.unsloth", large, little) == Recommendation(True, SHORT())
    ordinary = advise("acceleration.unsloth", large, enough)
    assert (ordinary.value, ordinary.reason.id) == (False, NOT_SHORT.id)
    assert "FlashAttention-2" in ordinary.reason.text
    assert advise("acceleration.attention", large, enough).value == "fa2"
    missing = advise("acceleration.unsloth", large, machine(card(12), libraries={**NOTHING, "bitsandbytes": BOUND}))
    assert SHORT_NOT_INSTALLED.id == missing.reason.values["reason"].id
    assert "Run: pip install unsloth" in missing.reason.text
    assert advise("acceleration.unsloth", large, little, "method.name=full").value is False
    assert advise("acceleration.unsloth", large, machine()).value is False


def test_liger_is_recommended_for_what_it_saves(large: ModelFacts) -> None:
    on = machine(card(24), libraries=EVERYTHING)
    found = advise("acceleration.liger", large, on, "acceleration.loss=plain", "training.micro_batch=4")
    assert (found.value, found.reason.id) == (True, LIGER_SAVES.id)
    assert found.reason.values["saved"] > 0.5
    assert advise("acceleration.liger", large, machine(card(24))).value is False


def test_an_answer_of_the_user_is_weighed_against_plans_own(small: ModelFacts) -> None:
    found = advise("method.rank", small, machine(), "method.rank=128")
    assert found.value == 16
    assert "holds up to 10,000 rows" in found.reason.text
    assert advise("method.rslora", small, machine(), "method.rank=128").reason.id == RSLORA_HIGH.id


def test_rows_decide_between_instruct_and_base(small: ModelFacts) -> None:
    on = machine(card(24), libraries=EVERYTHING)
    sizes = largest(on)
    few, many = recommended_model(sizes, on, data(40)), recommended_model(sizes, on, data(5_000))
    assert FEW_FOR_BASE.id in [one.id for one in parts(few.reason)]
    assert ENOUGH_FOR_BASE.id in [one.id for one in parts(many.reason)]
    assert str(sizes["QLoRA"].hub) in few.reason.text
    assert advise("dataset.train", small, on, rows=data(20)).reason.id == ROWS_FEW.id
    text = data(400, formats={"rows.jsonl": "text"})
    assert advise("dataset.train_on", small, on, rows=text).value == "all"


@pytest.mark.parametrize("on", [machine(), machine(card(12), libraries=EVERYTHING)], ids=["cpu", "card"])
def test_every_option_has_a_recommendation_that_the_recipe_takes(on: MachineFacts, small: ModelFacts) -> None:
    asked = recipe()
    methods = planned_methods(asked, small, on, data())
    for name, option in options().items():
        if name == "model.path":
            continue
        found = recommended(name, asked, small, on, data(), methods)
        assert found is not None, name
        assert found.reason.text
        if name not in ("method.name", "dataset.train"):
            option.check(found.value)


def test_what_is_not_known_yet_is_not_recommended_by() -> None:
    assert recommended("method.name", Recipe(), None, machine(), None) is None
    assert recommended("method.rank", Recipe(), None, machine(), None) is not None
    assert set(USUAL) <= set(options())
    for name in USUAL:
        assert value_of(Recipe(), name) == options()[name].default


def test_the_methods_are_planned_for_rows_of_one_length(large: ModelFacts) -> None:
    long_rows = data(400, length=8_000)
    planned = planned_methods(recipe(), large, machine(card(14), libraries=EVERYTHING), long_rows)
    assert list(planned) == ["lora", "qlora", "freeze", "full"]
    assert len({one.recipe.dataset.cutoff for one in planned.values()}) == 1
    assert [method_of(one.recipe) for one in planned.values()] == list(planned)
    trained = [one.trainable_parameters or 0 for one in planned.values()]
    assert trained[0] == trained[1] < trained[2] < trained[3]
    needed = [one.memory.live.process if one.memory.live else 0 for one in planned.values()]
    assert needed[1] < needed[0] < needed[3]
