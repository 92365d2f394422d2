"""Cards watched while a run trains: one, two and eight of them, through the real NVML binding and a stub below it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.machine.conftest import stub_folder, with_cards

from finetty.backend.machine import GpuReading, watch_gpus
from finetty.backend.recipe import Recipe
from finetty.backend.runs import EventReader, Run
from finetty.backend.training.cards import CardWatch
from finetty.backend.training.journal import Journal

__all__ = ["stub_folder", "with_cards"]

Ask = Callable[..., Any]
WATCH = """
import json, os, sys, time
from pathlib import Path
from finetty.backend.recipe import Recipe
from finetty.backend.runs import EventReader, Run
from finetty.backend.training.cards import CardWatch
from finetty.backend.training.journal import Journal

run = Run.create(Path({root!r}), {{}}, Recipe())
reader, events = EventReader(run.events_path), []

def read(until, seconds=20):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, events
        events.extend(reader.read())
        time.sleep(0.01)

def gpus():
    return [event for event in events if event["kind"] == "gpu"]

os.environ["STUB_PID"], os.environ["STUB_OTHER"] = str(os.getpid()), str(os.getppid())
with CardWatch(Journal(run), seconds=0.02):
    {code}
print(json.dumps(events))
"""


def watched(with_cards: Ask, root: Path, code: str, **environment: object) -> list[dict[str, Any]]:
    return list(with_cards(WATCH.format(root=str(root), code=code.replace("\n", "\n    ")), **environment))


@pytest.mark.parametrize("cards", [1, 2, 8])
def test_each_card_is_noted_down(with_cards: Ask, tmp_path: Path, cards: int) -> None:
    events = watched(with_cards, tmp_path, f"read(lambda: len(gpus()) >= {cards})", STUB_CARDS=cards, STUB_REASONS=0x24)
    events = events[:cards]
    assert [event["index"] for event in events] == list(range(cards))
    assert len({event["uuid"] for event in events}) == cards
    first = events[0]
    assert (first["name"], first["used"], first["total"]) == ("Stub RTX 0", 20 << 30, 24 << 30)
    assert (first["utilisation"], first["power"], first["power_cap"], first["temperature"]) == (97, 312.5, 450, 64)
    assert first["throttling"] == ["power", "heat"]
    assert first["process"] == 18 << 30
    assert [other["used"] for other in first["others"]] == [1 << 30]
    assert [event["process"] for event in events[1:]] == [None] * (cards - 1)


def test_what_a_card_does_not_say_is_null(with_cards: Ask, tmp_path: Path) -> None:
    (event, *_) = watched(with_cards, tmp_path, "read(gpus)", STUB_GAPS=1)
    assert not event["lost"]
    unsaid = ("used", "utilisation", "power", "power_cap", "temperature", "throttling", "process", "others")
    assert {event[name] for name in unsaid} == {None}


def test_processes_of_another_namespace_are_nobodys(with_cards: Ask, tmp_path: Path) -> None:
    code = "os.environ['STUB_OTHER'] = '2000000000'\nread(lambda: gpus() and gpus()[-1]['others'] is None)"
    assert watched(with_cards, tmp_path, code)[-1]["process"] is None


def test_a_card_that_falls_off_is_told_once_and_may_come_back(with_cards: Ask, tmp_path: Path) -> None:
    code = (
        "read(lambda: len(gpus()) >= 2)\n"
        "os.environ['STUB_LOST'] = '1'\n"
        "read(lambda: sum(event['lost'] for event in gpus()) >= 3)\n"
        "os.environ['STUB_LOST'] = '-1'\n"
        "read(lambda: gpus()[-1]['index'] == 1 and not gpus()[-1]['lost'])"
    )
    events = watched(with_cards, tmp_path, code, STUB_CARDS=2)
    (alert,) = (event for event in events if event["kind"] == "alert")
    assert (alert["level"], alert["message"]) == ("warning", "Card 1, Stub RTX 1, does not answer any more.")
    lost = [event for event in events if event.get("lost")]
    assert {(event["index"], event["used"], event["total"]) for event in lost} == {(1, None, 24 << 30)}


def test_a_machine_without_a_card_has_no_thread_and_no_event(tmp_path: Path) -> None:
    if watch_gpus():
        pytest.skip("a card is here")
    run = Run.create(tmp_path, {}, Recipe())
    with CardWatch(Journal(run)):
        for thread in threading.enumerate():
            if thread.name == "cards":
                thread.join(20)
                assert not thread.is_alive()
    assert not any(event["kind"] == "gpu" for event in EventReader(run.events_path).read())


def test_a_driver_that_hangs_holds_nothing_up_and_writes_nothing_afterwards(tmp_path: Path) -> None:
    run = Run.create(tmp_path, {}, Recipe())
    asked, answered = threading.Event(), threading.Event()

    def hanging() -> list[GpuReading]:
        asked.set()
        answered.wait(20)
        return [GpuReading(0, "GPU-0", "Slow", *[None] * 10)]

    with CardWatch(Journal(run), look=hanging):
        assert asked.wait(20)
    answered.set()
    for thread in threading.enumerate():
        if thread.name == "cards":
            thread.join(20)
            assert not thread.is_alive()
    assert EventReader(run.events_path).read() == []
