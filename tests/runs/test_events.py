"""The log of events: appended whole, read bit by bit, forgiving to everything that a crash leaves."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetty.backend.recipe import Recipe
from finetty.backend.runs import EventLog, EventReader, Run, history, runs_root


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(runs_root(tmp_path), {"steps": 9}, Recipe(), asked=Recipe())


def step(number: int, **more: object) -> str:
    return json.dumps({"time": 1.0, "kind": "step", "step": number, **more}) + "\n"


def steps(events: list[dict[str, object]]) -> list[object]:
    return [event["step"] for event in events]


class TestLog:
    def test_numbers_that_are_not_finite_are_null_and_named(self, run: Run) -> None:
        log = EventLog(run)
        log.append("step", step=1, loss=float("nan"), grad_norm=float("inf"), learning_rate=2e-4)
        log.append("gpu", cards=[{"power": float("nan"), "used": 3}])
        first, second = EventReader(run.events_path).read()
        assert (first["loss"], first["grad_norm"], first["learning_rate"]) == (None, None, 2e-4)
        assert first["nonfinite"] == ["loss", "grad_norm"]
        assert second["nonfinite"] == ["cards.0.power"]
        assert second["cards"] == [{"power": None, "used": 3}]

    def test_the_loss_is_not_rounded(self, run: Run) -> None:
        EventLog(run).append("step", step=1, loss=1.2345678901234567)
        assert EventReader(run.events_path).read()[0]["loss"] == 1.2345678901234567

    def test_an_event_is_one_line_whatever_its_text(self, run: Run) -> None:
        EventLog(run).append("note", text="one\ntwo\u2028three\x1b[31m 模型 \udcff", folder=Path("/x"))
        assert len(run.events_path.read_bytes().splitlines()) == 1
        assert EventReader(run.events_path).read()[0]["folder"] == "/x"

    def test_a_full_disk_holds_events_back_and_loses_none(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        write, room = os.write, [30]

        def until_full(descriptor: int, content: bytes) -> int:
            if not room[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            taken = write(descriptor, bytes(content[: room[0]]))
            room[0] -= taken
            return taken

        log = EventLog(run)
        monkeypatch.setattr(os, "write", until_full)
        for number in range(5):
            log.append("step", step=number)
        assert log.held_back
        assert steps(EventReader(run.events_path).read()) == []
        room[0] = 10**6
        log.append("step", step=5)
        assert not log.held_back
        reader = EventReader(run.events_path)
        assert (steps(reader.read()), reader.broken) == ([0, 1, 2, 3, 4, 5], 0)

    def test_another_fault_and_a_disk_that_stays_full_are_raised(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(_descriptor: int, _content: bytes) -> int:
            raise OSError(fault, os.strerror(fault))

        log, fault = EventLog(run), errno.EIO
        monkeypatch.setattr(os, "write", failing)
        with pytest.raises(OSError, match="Input/output"):
            log.append("note", text="x")
        fault = errno.ENOSPC
        log.append("note", text="x")
        with pytest.raises(OSError, match="No space"):
            for _ in range(9):
                log.append("note", text="x" * (1 << 20))

    def test_threads_never_mix_their_lines(self, run: Run) -> None:
        logs = [EventLog(run) for _ in range(4)]
        threads = [
            threading.Thread(target=lambda log=log: [log.append("note", text="x" * 500) for _ in range(100)])
            for log in logs
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        reader = EventReader(run.events_path)
        assert len(reader.read(max_seconds=10)) == 400
        assert reader.broken == 0

    def test_a_half_line_left_by_a_crash_costs_only_itself(self, run: Run) -> None:
        run.events_path.write_text(step(1) + '{"time": 2, "kind": "st')
        EventLog(run).append("step", step=2)
        reader = EventReader(run.events_path)
        assert steps(reader.read()) == [1, 2]
        assert reader.broken == 1


class TestReader:
    def test_a_half_written_last_line_is_not_yet(self, run: Run) -> None:
        reader = EventReader(run.events_path)
        whole = step(1) + step(2)
        seen: list[object] = []
        for place in range(len(whole)):
            with run.events_path.open("a") as file:
                file.write(whole[place])
            seen += steps(reader.read())
            assert len(seen) == whole[: place + 1].count("\n")
        assert (seen, reader.broken) == ([1, 2], 0)

    def test_broken_lines_are_counted_and_passed_over(self, run: Run) -> None:
        lines = [b"{", b"[1]", b'{"no": "kind"}', b"\xff\xfe", b"null", b"[" * 100_000, b'{"kind": 3}', b""]
        run.events_path.write_bytes(b"\n".join(lines) + b"\n" + step(1).encode())
        reader = EventReader(run.events_path)
        assert steps(reader.read(max_seconds=5)) == [1]
        assert reader.broken == len(lines) - 1

    def test_a_line_without_end_is_given_up(self, run: Run) -> None:
        run.events_path.write_bytes(b"x" * (5 << 20) + b"\n" + step(1).encode())
        reader = EventReader(run.events_path)
        assert steps(reader.read(max_seconds=5)) == [1]
        assert reader.broken == 1

    def test_is_bounded_by_count_and_goes_on_where_it_was(self, run: Run) -> None:
        run.events_path.write_text("".join(step(number) for number in range(25)))
        reader = EventReader(run.events_path)
        parts = [steps(reader.read(max_events=10, max_seconds=5)) for _ in range(4)]
        assert [len(part) for part in parts] == [10, 10, 5, 0]
        assert [number for part in parts for number in part] == list(range(25))

    def test_is_bounded_by_time(self, run: Run) -> None:
        run.events_path.write_text("".join(step(number) for number in range(20_000)))
        reader = EventReader(run.events_path)
        first = reader.read(max_events=10**6, max_seconds=0)
        assert len(first) < 20_000
        rest = reader.read(max_events=10**6, max_seconds=60)
        assert steps(first + rest) == list(range(20_000))

    def test_a_log_that_is_not_there_yet(self, tmp_path: Path) -> None:
        reader = EventReader(tmp_path / "events.jsonl")
        assert reader.read() == []
        reader.path.write_text(step(1))
        assert steps(reader.read()) == [1]

    def test_a_replaced_log_is_read_from_its_start(self, run: Run, tmp_path: Path) -> None:
        run.events_path.write_text(step(1) + step(2))
        reader = EventReader(run.events_path)
        reader.read()
        (tmp_path / "other").write_text(step(7) + step(8) + step(9))
        (tmp_path / "other").replace(run.events_path)
        assert steps(reader.read()) == [7, 8, 9]

    @given(st.binary(max_size=400), st.integers(1, 50))
    def test_never_raises(self, tmp_path_factory: pytest.TempPathFactory, content: bytes, chunk: int) -> None:
        path = tmp_path_factory.getbasetemp() / "any.jsonl"
        path.write_bytes(b"")
        reader = EventReader(path)
        events = 0
        for place in range(0, len(content), chunk):
            with path.open("ab") as file:
                file.write(content[place : place + chunk])
            events += len(reader.read())
        assert events + reader.broken <= content.count(b"\n")


class TestHistory:
    def test_a_resume_voids_the_steps_it_goes_over_again(self, run: Run) -> None:
        log = EventLog(run)
        for number in (1, 2, 3, 4):
            log.append("step", step=number, loss=number / 10)
        log.append("eval", step=4, loss=9.0)
        log.append("state", state="loading", resumed_from=2)
        for number in (3, 4, 5):
            log.append("step", step=number, loss=float(number))
        found = history(run.events_path)
        assert [(event["step"], event["loss"]) for event in found] == [(1, 0.1), (2, 0.2), (3, 3.0), (4, 4.0), (5, 5.0)]
        assert history(run.events_path, kinds=["eval"]) == []

    def test_is_whole_whatever_its_length(self, run: Run) -> None:
        run.events_path.write_text("".join(step(number) for number in range(12_000)))
        assert steps(history(run.events_path)) == list(range(12_000))
