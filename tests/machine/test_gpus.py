"""Cards as NVML reports them: whole, with gaps, lost, or without a driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Ask = Callable[..., Any]
FACTS = (
    "import json, dataclasses; from finetty.backend.machine import machine_facts;"
    " print(json.dumps(dataclasses.asdict(machine_facts())))"
)
WATCH = (
    "import json, dataclasses; from finetty.backend.machine import watch_gpus;"
    " print(json.dumps([dataclasses.asdict(one) for one in watch_gpus()]))"
)


def test_one_card(with_cards: Ask) -> None:
    facts = with_cards(FACTS)
    assert facts["driver"] == "580.95.05" and facts["gpu_reason"] is None
    (card,) = facts["gpus"]
    assert card["name"] == "Stub RTX 0" and card["uuid"].startswith("GPU-")
    assert (card["total"], card["free"], card["capability"]) == (24 << 30, 4 << 30, [12, 0])


def test_two_cards(with_cards: Ask) -> None:
    assert [card["free"] >> 30 for card in with_cards(FACTS, STUB_CARDS=2)["gpus"]] == [4, 22]


def test_what_a_card_does_not_say_is_none(with_cards: Ask) -> None:
    (card,) = with_cards(FACTS, STUB_GAPS=1)["gpus"]
    assert card["name"] == "Stub RTX 0"
    assert card["total"] is None and card["free"] is None and card["capability"] is None


def test_a_card_that_fell_off_the_bus_is_left_out(with_cards: Ask) -> None:
    assert [card["index"] for card in with_cards(FACTS, STUB_CARDS=3, STUB_LOST=1)["gpus"]] == [0, 2]


def test_a_driver_that_does_not_answer_says_why(with_cards: Ask) -> None:
    facts = with_cards(FACTS, STUB_INIT=18)
    assert facts["gpus"] == [] and "restart" in facts["gpu_reason"]
    assert "not loaded" in with_cards(FACTS, STUB_INIT=9)["gpu_reason"]


def test_no_driver_says_so() -> None:
    from finetty.backend.machine.gpus import cards

    found = cards()
    if not found.gpus:
        assert found.reason


def test_readings_for_the_dashboard(with_cards: Ask) -> None:
    (reading,) = with_cards(WATCH)
    assert reading["busy_percent"] == 97 and reading["watts"] == 312.5 and reading["watts_limit"] == 450
    assert reading["celsius"] == 64 and reading["sm_clock_mhz"] == 2520
    (bare,) = with_cards(WATCH, STUB_GAPS=1)
    assert bare["busy_percent"] is None and bare["watts"] is None and bare["celsius"] is None
    assert with_cards(WATCH, STUB_INIT=9) == []


def test_what_slows_a_card_down_and_who_else_is_on_it(with_cards: Ask) -> None:
    (idle,) = with_cards(WATCH, STUB_REASONS=0x1)
    assert idle["throttling"] == [] and idle["processes"] == []
    (slow,) = with_cards(WATCH, STUB_REASONS=0x4 | 0x20 | 0x40, STUB_OTHER=1)
    assert slow["throttling"] == ["power", "heat"]
    assert slow["processes"] == [{"pid": 1, "used": 1 << 30}]
    (elsewhere,) = with_cards(WATCH, STUB_OTHER=2_000_000_000)
    assert elsewhere["processes"] is None
