"""FSDP is refused, with its fix, where it cannot work, and chooses what it can share out."""

from __future__ import annotations

import pytest
from tests.planning.conftest import Planner, card, found, machine

TWO_CARDS = ("hardware.devices=[0, 1]", "hardware.fsdp=true")
CARDS = machine(card(24), card(24, index=1))


def test_two_cards_share_a_model(planned: Planner) -> None:
    plan = planned(*TWO_CARDS, on=CARDS)
    assert plan.errors == ()
    assert plan.recipe.precision.quantization == "none"
    assert plan.recipe.acceleration.loss == "plain"
    assert plan.memory.live is None
    assert found(plan, "hardware.fsdp", "note").message.id == "plan.fsdp.not_predicted"


def test_one_process_has_nothing_to_share(planned: Planner) -> None:
    [error] = planned("hardware.fsdp=true", on=machine(card(24))).errors
    assert (error.option, error.message.id) == ("hardware.fsdp", "plan.fsdp.alone")


@pytest.mark.parametrize(
    ("setting", "fix"),
    [
        ("precision.quantization=nf4", "none"),
        ("training.optimizer=adamw_8bit", "adamw"),
        ("training.optimizer=adafactor", "adamw"),
        ("acceleration.loss=chunked", "plain"),
        ("training.activation_offloading=true", "false"),
        ("method.dora=true", "false"),
    ],
)
def test_what_fsdp_does_not_go_with(planned: Planner, setting: str, fix: str) -> None:
    option = setting.partition("=")[0]
    errors = [one for one in planned(*TWO_CARDS, setting, on=CARDS).errors if one.message.id == "plan.fsdp.not_with"]
    assert [one.option for one in errors] == [option]
    assert errors[0].fix is not None
    assert f"{option}: {fix}" in errors[0].fix.text
