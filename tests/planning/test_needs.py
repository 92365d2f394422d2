"""What a model of the catalogue needs at the least, before anything of it is downloaded."""

from __future__ import annotations

import pytest

from finetty.backend.models.expected import expected_facts
from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning.needs import free_memory, least_needs

from .conftest import EVERYTHING, GIB, NOTHING, card, machine


def facts(name: str) -> ModelFacts:
    found = expected_facts(name)
    assert found is not None
    return found


def test_dimensions_become_the_facts_that_the_folder_will_have() -> None:
    model = facts("Qwen/Qwen3-0.6B")
    assert (model.path, model.folder, model.model_type) == ("Qwen/Qwen3-0.6B", None, "qwen3")
    assert model.parameters == 596_049_920
    assert model.context_length == 40_960


@pytest.mark.parametrize("name", ["nobody/nothing", "DeepSeek-Coder-V2-16B", "../../etc"])
def test_what_is_not_known_is_none(name: str) -> None:
    assert expected_facts(name) is None


def test_four_bits_need_less_and_are_offered_where_they_run() -> None:
    model = facts("Qwen/Qwen3-8B")
    lora, qlora = least_needs(model, machine(card(16), libraries=EVERYTHING))
    assert (lora.way, qlora.way) == ("LoRA", "QLoRA")
    assert lora.memory.live and qlora.memory.live
    assert qlora.memory.live.process < 0.7 * lora.memory.live.process
    assert not lora.possible
    assert qlora.possible
    assert [need.way for need in least_needs(model, machine(card(16), libraries=NOTHING))] == ["LoRA"]


def test_a_quantized_checkpoint_has_no_way() -> None:
    assert least_needs(facts("Qwen/Qwen3-8B-AWQ"), machine(card(80), libraries=EVERYTHING)) == ()


def test_free_memory_is_of_the_place_that_would_train() -> None:
    assert free_memory(machine(card(24, free=20), card(48, free=5, index=1))) == 20 * GIB
    assert free_memory(machine()) == 28 * GIB
