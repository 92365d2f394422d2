"""The inbox: each command is taken once and answered, and none stays behind to surprise a later run."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe
from finetty.backend.runs import EventReader, Inbox, Run, runs_root, send_command, wait_for_result


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(runs_root(tmp_path), {"steps": 9}, Recipe(), asked=Recipe())


def test_commands_are_taken_once_in_the_order_they_were_sent(run: Run) -> None:
    sent = [send_command(run, "pause"), send_command(run, "resume"), send_command(run, "stop", discard=True)]
    inbox = Inbox(run)
    taken = inbox.take()
    assert [command.id for command in taken] == sent
    assert [command.name for command in taken] == ["pause", "resume", "stop"]
    assert taken[2].values == {"discard": True}
    assert inbox.take() == []
    assert list(run.commands_path.iterdir()) == []


def test_the_sender_gets_the_answer(run: Run) -> None:
    def trainer() -> None:
        inbox = Inbox(run)
        while not (commands := inbox.take()):
            time.sleep(0.01)
        inbox.answer(commands[0], "done", step=7)

    thread = threading.Thread(target=trainer)
    thread.start()
    answer = wait_for_result(run, send_command(run, "checkpoint"))
    thread.join()
    assert answer is not None
    assert (answer["name"], answer["result"], answer["step"]) == ("checkpoint", "done", 7)


def test_a_command_that_nobody_took_is_withdrawn(run: Run) -> None:
    assert wait_for_result(run, send_command(run, "stop"), seconds=0) is None
    assert Inbox(run).take() == []


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"name": "dance"}', '{"name": 3}', '{"name": "stop", "values": 1}', "null", "[" * 5000]
)
def test_what_is_no_command_is_answered_with_an_error(run: Run, content: str) -> None:
    (run.commands_path / f"{1:019d}-{'a' * 32}.json").write_text(content)
    assert Inbox(run).take() == []
    (answer,) = EventReader(run.events_path).read()
    assert (answer["kind"], answer["id"], answer["result"]) == ("command", "a" * 32, "error")
    assert list(run.commands_path.iterdir()) == []


def test_files_that_are_still_being_written_are_left_alone(run: Run) -> None:
    beside = run.commands_path / f".{1:019d}-{'a' * 32}.json.0123abcd"
    beside.write_text('{"name": "st')
    assert Inbox(run).take() == []
    assert beside.exists()
    assert EventReader(run.events_path).read() == []


def test_a_run_that_is_gone_refuses_commands(run: Run) -> None:
    run.commands_path.rmdir()
    with pytest.raises(Refusal, match="inbox"):
        send_command(run, "stop")
    assert Inbox(run).take() == []


def test_there_is_no_other_command(run: Run) -> None:
    with pytest.raises(ValueError, match="dance"):
        send_command(run, "dance")
