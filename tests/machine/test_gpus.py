"""Cards as NVML reports them: whole, with gaps, lost, or without a driver."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from finetty.backend.machine.gpus import NO_SLICE, NOT_LOADED, UPDATED
from finetty.backend.machine.process_owner import short_command

Ask = Callable[..., Any]
FACTS = (
    "import json, dataclasses; from finetty.backend.machine import machine_facts;"
    " print(json.dumps(dataclasses.asdict(machine_facts())))"
)
WATCH = (
    "import json, dataclasses; from finetty.backend.machine import watch_gpus;"
    " print(json.dumps([dataclasses.asdict(one) for one in watch_gpus()]))"
)

DOCTOR = (
    "import json, pathlib; from finetty.backend.machine import accelerators, doctor;"
    " accelerators.prove = lambda *_: {};"
    " from finetty.tui.plain import doctor_lines; document = json.loads(json.dumps(doctor(pathlib.Path('/tmp'))));"
    " print(json.dumps([document, list(doctor_lines(document))]))"
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


def test_a_card_in_mig_mode_is_its_mig_devices(with_cards: Ask) -> None:
    """CUDA takes MIG devices by their own UUIDs, and does not compute on the card around them."""
    slices_and_card = with_cards(FACTS, STUB_CARDS=2, STUB_MIG=2)["gpus"]
    assert [(one["index"], one["uuid"][:12], one["free"] >> 30) for one in slices_and_card] == [
        (0, "MIG-00000001", 4),
        (0, "MIG-00000003", 2),
        (1, "GPU-00000001", 22),
    ]
    assert slices_and_card[0]["total"] == 5 << 30 and slices_and_card[0]["capability"] == [12, 0]
    first, _, _ = with_cards(WATCH, STUB_CARDS=2, STUB_MIG=2, STUB_OTHER=1)
    assert (first["name"], first["used"], first["celsius"]) == ("Stub RTX 0 MIG 1g.5gb", 1 << 30, 64)
    assert first["watts"] is None and set(first["missing"]) == {"busy_percent", "watts", "watts_limit"}
    assert [one["pid"] for one in first["processes"]] == [1]


def test_a_card_in_mig_mode_without_mig_devices_cannot_be_used(with_cards: Ask) -> None:
    facts = with_cards(FACTS, STUB_MIG=0)
    assert facts["gpus"] == [] and facts["gpu_reason"]["id"] == NO_SLICE.id


def test_a_driver_that_does_not_answer_says_why(with_cards: Ask) -> None:
    facts = with_cards(FACTS, STUB_INIT=18)
    assert facts["gpus"] == [] and facts["gpu_reason"]["id"] == UPDATED.id
    assert with_cards(FACTS, STUB_INIT=9)["gpu_reason"]["id"] == NOT_LOADED.id


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
    (other,) = slow["processes"]
    assert (other["pid"], other["used"]) == (1, 1 << 30)
    (elsewhere,) = with_cards(WATCH, STUB_OTHER=2_000_000_000)
    assert elsewhere["processes"] is None


def test_a_process_on_a_card_has_its_user_and_command(with_cards: Ask) -> None:
    script = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-u", "-c", script, "--token", "hush"], stdin=subprocess.PIPE) as child:
        (card,) = with_cards(WATCH, STUB_OTHER=child.pid)
        assert child.stdin is not None
        child.stdin.close()
    name = Path(sys.executable).name
    assert card["processes"] == [
        {"pid": child.pid, "used": 1 << 30, "user": psutil.Process().username(), "command": name}
    ]


def test_another_users_process_that_may_not_be_read_has_no_command(with_cards: Ask) -> None:
    refused = "import psutil\ndef no(self): raise psutil.AccessDenied(self.pid)\npsutil.Process.cmdline = no\n"
    (card,) = with_cards(refused + WATCH, STUB_OTHER=1)
    (other,) = card["processes"]
    assert (other["user"], other["command"]) == (psutil.Process(1).username(), None)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["/usr/bin/python3", "-u", "/home/a/train.py", "--token", "hush"], "python3 train.py"),
        (["python", "-m", "app", "--key=hush"], "python -m app"),
        (["/opt/vllm", "serve", "secret/model"], "vllm serve"),
        (["env", "KEY=hush", "run"], "env"),
        (["server", "--token", "hush"], "server"),
        ([], ""),
    ],
)
def test_a_command_is_told_without_what_may_be_secret(words: list[str], shown: str) -> None:
    assert short_command(words) == shown


def test_doctor_tells_what_each_card_does_now(with_cards: Ask) -> None:
    document, lines = with_cards(DOCTOR, STUB_CARDS=2, STUB_REASONS=0x4 | 0x20)
    card = document["gpus"][0]
    assert (card["busy_percent"], card["watts"], card["watts_limit"], card["celsius"]) == (97, 312.5, 450, 64)
    assert (card["sm_clock_mhz"], card["memory_clock_mhz"], card["missing"]) == (2520, 10501, {})
    at = next(place for place, line in enumerate(lines) if line.startswith("card 0: Stub RTX 0"))
    assert lines[at + 1 : at + 7] == [
        "  use: 97%",
        "  power: 312 W, cap 450 W",
        "  temperature: 64 °C",
        "  clocks: SM 2520 MHz, memory 10501 MHz",
        "  slowed: at its power cap, slowed by heat",
        "  processes: none",
    ]


def test_doctor_says_why_a_reading_is_missing(with_cards: Ask) -> None:
    document, lines = with_cards(DOCTOR, STUB_GAPS=1)
    (card,) = document["gpus"]
    unsaid = {name for name in card["missing"] if card[name] is None}
    assert unsaid == set(card["missing"]) and len(unsaid) == 9
    assert "  use: N/A (this card does not give it)" in lines
    assert "  slowed: N/A (this card does not give it)" in lines
    assert "  processes: N/A (this card does not give it)" in lines
    _, elsewhere = with_cards(DOCTOR, STUB_OTHER=2_000_000_000)
    assert "  processes: N/A (this container does not see whose they are)" in elsewhere


def test_doctor_names_the_processes_on_a_card(with_cards: Ask) -> None:
    with subprocess.Popen([sys.executable, "-m", "code", "-q"], stdin=subprocess.PIPE) as child:
        _, lines = with_cards(DOCTOR, STUB_OTHER=child.pid)
        assert child.stdin is not None
        child.stdin.close()
    user, program = psutil.Process().username(), Path(sys.executable).name
    assert f"  processes: {user}: {program} -m code 1.0 GB" in lines
