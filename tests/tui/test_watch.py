"""A run's folder read into a view: whatever is torn, voided, long or broken, what is shown is what happened."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from finetty.backend.messages import Refusal, message
from finetty.tui import watch
from finetty.tui.language import set_language, translate
from finetty.tui.story import Story
from finetty.tui.watch import View, Watch, plain_line

Make = Callable[..., Any]


def read_to_the_end(watching: Watch) -> View:
    view = watching.poll()
    while view.unread:
        view = watching.poll()
    return view


def test_a_run_in_its_middle(made_run: Make) -> None:
    made = made_run()
    made.train(123)
    view = Watch(made.run, clock=made.clock).poll()
    made.end()
    assert (view.state, view.step, view.total, view.share) == ("running", 123, 300, 0.41)
    assert view.figures.held_out_first == pytest.approx(3.9)
    assert view.figures.held_out_best == (view.figures.held_out, 120)
    assert view.figures.checkpoint_step == 120
    assert view.elapsed == 9 + 123 * 2
    assert view.left == pytest.approx((300 - 123) * 2)
    assert view.memory.predicted == 2_100_000_000
    assert view.memory.used and view.memory.used > 1 << 20
    assert len(view.curves.loss) == 123
    assert view.alerts[0].message.text.startswith("The gradient norm jumped")
    assert [sample.after for sample in view.samples] == [None, None]


def test_a_half_written_line_is_not_yet(made_run: Make) -> None:
    made = made_run()
    made.begin()
    made.state("running")
    watching = Watch(made.run, clock=made.clock)
    line = json.dumps({"time": made.now, "kind": "step", "step": 1, "loss": 2.5}) + "\n"
    with made.run.events_path.open("a") as log:
        log.write(line[:20])
        log.flush()
        assert watching.poll().step == 0
        log.write(line[20:])
        log.flush()
    view = watching.poll()
    made.end()
    assert (view.step, view.figures.loss) == (1, 2.5)


def test_no_event_is_lost_however_the_log_grows(made_run: Make) -> None:
    made, dice = made_run(3000), random.Random(3)
    made.begin()
    made.state("running")
    content = "".join(
        json.dumps({"time": made.now, "kind": "step", "step": step, "loss": step / 7, "elapsed": step}) + "\n"
        for step in range(1, 3001)
    ).encode()
    watching, sent = Watch(made.run, clock=made.clock), 0
    with made.run.events_path.open("ab", buffering=0) as log:
        while sent < len(content):
            piece = content[sent : sent + dice.randint(1, 3000)]
            log.write(piece)
            sent += len(piece)
            watching.poll(max_events=dice.randint(1, 60))
    view = read_to_the_end(watching)
    while view.step < 3000:
        view = watching.poll(max_events=60)
    made.end()
    assert len(view.curves.loss) == 3000
    assert [view.curves.loss.nearest(step)[1] for step in (1, 1500, 3000)] == pytest.approx([1 / 7, 1500 / 7, 3000 / 7])


def test_a_resume_voids_what_it_goes_over(made_run: Make) -> None:
    made = made_run()
    made.train(123)
    made.state("loading", resumed_from=120)
    watching = Watch(made.run, clock=made.clock)
    view = watching.poll()
    assert (view.step, len(view.curves.loss)) == (120, 120)
    assert view.figures.held_out_best is not None
    made.steps(121, 125)
    view = watching.poll()
    made.end()
    assert (view.step, len(view.curves.loss)) == (125, 125)
    assert view.left == pytest.approx(175 * 2)


def test_a_resume_from_the_start_voids_everything(made_run: Make) -> None:
    made = made_run()
    made.train(60)
    made.state("loading", resumed_from=0)
    view = Watch(made.run, clock=made.clock).poll()
    made.end()
    assert (view.step, len(view.curves.loss), len(view.curves.held_out)) == (0, 0, 1)
    assert view.figures.pace is None


def test_a_long_run_is_seen_by_its_tail_first(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_run(20_000)
    made.begin()
    made.state("running")
    with made.run.events_path.open("a") as log:
        for step in range(1, 20_001):
            event = {"time": made.now + step, "kind": "step", "step": step, "loss": 4 - step / 10_000, "elapsed": step}
            log.write(json.dumps(event) + "\n")
    monkeypatch.setattr(watch, "LONG_LOG", 100_000)
    made.now += 20_000
    watching = Watch(made.run, clock=made.clock)
    first = watching.poll(max_events=500)
    assert first.unread > 0.9
    assert (first.step, first.figures.loss) == (20_000, 2.0)
    span = first.curves.loss.span()
    assert span is not None
    assert span == (1, 20_000)
    assert 400 <= len(first.curves.loss) < 20_000
    last = read_to_the_end(watching)
    made.end()
    assert len(last.curves.loss) == 20_000
    assert last.unread == 0


def test_a_run_whose_process_is_gone_has_crashed(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    made.end()
    made.now += 5000
    view = Watch(made.run, clock=made.clock).poll()
    assert view.state == "crashed"
    assert view.over
    assert view.elapsed == 9 + 40 * 2
    assert view.silence is None


def test_silence_is_told_once_the_pace_does_not_explain_it(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    watching = Watch(made.run, clock=made.clock)
    made.now += 30
    assert watching.poll().silence is None
    made.now += 90
    assert watching.poll().silence == 120
    made.state("paused")
    made.now += 900
    view = watching.poll()
    made.end()
    assert view.silence is None


def test_a_pause_is_not_counted_into_the_pace(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    for step in range(41, 51):
        made.event("step", step=step, loss=1.0, elapsed=40 * 2 + 3600 + (step - 40) * 2)
    view = Watch(made.run, clock=made.clock).poll()
    made.end()
    assert view.figures.pace == pytest.approx(2.0)


def test_why_it_failed_and_what_to_do(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    made.alert("error", "The disk is full.", "Free some space.")
    made.state("failed")
    made.end()
    figures = Watch(made.run, clock=made.clock).poll().figures
    assert figures.failure is not None and figures.failure.text == "The disk is full."
    assert figures.cure is not None and figures.cure.text == "Free some space."


def test_messages_of_events_are_translated() -> None:
    declared = message("test.watch_jump", "The loss jumped to {loss}.")(loss=3)
    story = Story()
    said = {"message": declared.to_json(), "advice": None}
    story.take(
        [{"time": 1, "kind": "alert", "level": "warning", "message": declared.text, "advice": None, "said": said}]
    )
    assert story.alerts[0].message.id == "test.watch_jump"
    set_language("en")
    assert translate(story.alerts[0].message) == "The loss jumped to 3."


def test_a_loss_that_is_not_a_number_is_said_and_leaves_a_gap(made_run: Make) -> None:
    made = made_run()
    made.train(30)
    made.event("step", step=31, loss=None, nonfinite=["loss"])
    view = Watch(made.run, clock=made.clock).poll()
    made.end()
    assert view.figures.loss_broken
    point = view.curves.loss.nearest(31)
    assert point is not None and point[1] != point[1]
    assert view.figures.smoothed is not None


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "step", "step": "seven", "loss": []},
        {"kind": "step", "step": True, "loss": {"a": 1}},
        {"kind": "step"},
        {"kind": "eval", "step": None, "loss": "low"},
        {"kind": "state", "state": ["running"], "resumed_from": "x"},
        {"kind": "state", "resumed_from": -5},
        {"kind": "sample", "prompt": 3, "answer": None},
        {"kind": "alert", "level": 9, "message": None},
        {"kind": "alert", "message": "x", "said": {"message": 4}},
        {"kind": "checkpoint", "step": "x", "time": "y"},
        {"kind": "command", "id": 4},
        {"kind": "gpu", "used": "much"},
        {
            "kind": "gpu",
            "uuid": "GPU-0",
            "index": 0,
            "name": None,
            "power": [],
            "throttling": 3,
            "others": [4, {"pid": "x"}],
        },
        {"kind": "note", "message": 1},
        {"kind": "unheard of"},
    ],
)
def test_an_odd_event_is_passed_over(event: dict[str, Any]) -> None:
    story = Story()
    good = {"time": 1.0, "kind": "step", "step": 1, "loss": 2.0}
    story.take([good, event, {"time": 2.0, "kind": "step", "step": 2, "loss": 1.0}])
    assert story.figures.loss == 1.0
    assert story.curves.loss.last_step == 2


def on_cards(made: Any, uuid: str | None) -> Watch:
    """A watch on this run, planned for a card."""
    plan = json.loads(made.run.plan_path.read_bytes())
    plan["memory"]["device"] |= {"kind": "cuda", "uuid": uuid}
    made.run.plan_path.write_text(json.dumps(plan))
    return Watch(made.run, clock=made.clock)


def test_memory_on_a_card_is_what_the_run_takes_there(made_run: Make) -> None:
    made = made_run()
    made.begin()
    made.state("running")
    made.gpu(0, used=23 << 30, process=None, others=[{"pid": 4, "used": 22 << 30}])
    made.gpu(1, process=18 << 30)
    made.gpu(1, process=9 << 30)
    memory = on_cards(made, "GPU-1").poll().memory
    assert (memory.kind, memory.used, memory.peak, memory.predicted) == ("cuda", 9 << 30, 18 << 30, 2_100_000_000)
    assert on_cards(made, None).poll().memory.used == 9 << 30
    assert on_cards(made, "GPU-7").poll().memory.used is None
    made.end()


def test_where_processes_cannot_be_told_apart_the_cards_memory_is_the_runs(made_run: Make) -> None:
    made = made_run()
    made.begin()
    made.state("running")
    made.gpu(0, process=None, others=None)
    assert on_cards(made, "GPU-0").poll().memory.used == 20 << 30
    made.end()


def test_a_card_that_is_lost_keeps_its_peak_and_its_place(made_run: Make) -> None:
    made = made_run()
    made.begin()
    made.gpu(1)
    made.gpu(0)
    made.gpu(1, lost=True, used=None, process=None, others=None)
    first, second = Watch(made.run, clock=made.clock).poll().gpus
    assert (first.index, second.index, second.lost, second.used, second.peak) == (0, 1, True, None, 18 << 30)
    made.end()


def test_a_run_that_was_removed_is_refused(made_run: Make) -> None:
    made = made_run()
    made.train(5)
    watching = Watch(made.run, clock=made.clock)
    made.end()
    made.run.status_path.unlink()
    with pytest.raises(Refusal):
        watching.poll()


def test_the_console_log_is_followed_and_cleaned(made_run: Make) -> None:
    made = made_run()
    watching = Watch(made.run, clock=made.clock)
    assert watching.new_lines() == []
    made.run.console_path.write_bytes(b"one\n\x1b[31mtwo\x1b[0m\n 10%\r 90%\rdone\nhal")
    assert watching.new_lines() == ["one", "two", "done"]
    with made.run.console_path.open("ab") as log:
        log.write(b"f\n")
    assert watching.new_lines() == ["half"]
    made.run.console_path.write_bytes(b"cut\n")
    assert watching.new_lines() == []
    with made.run.console_path.open("ab") as log:
        log.write(b"after\n")
    assert watching.new_lines() == ["after"]


def test_nothing_in_a_line_is_obeyed() -> None:
    line = plain_line(b"\x1b]0;title\x07a\x08b\x1b[2J\x9b\xe2\x80\xae\xff")
    assert line.isprintable()
    assert "\x1b" not in line
