"""How busy the machine was since the last look, from the processors' own clocks."""

from __future__ import annotations

from collections import namedtuple

import pytest

from finetty.backend.machine import host
from finetty.backend.machine.host import HostWatch

Times = namedtuple("Times", "user system idle iowait guest guest_nice")


def test_the_share_is_of_the_time_since_the_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(
        [
            Times(100.0, 10.0, 1000.0, 0.0, 50.0, 0.0),
            Times(106.0, 11.0, 1002.0, 1.0, 56.0, 0.0),  # 7 of 10 seconds
            Times(106.0, 11.0, 1002.0, 1.0, 56.0, 0.0),  # no time went by
            Times(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),  # the clocks began anew
        ]
    )
    monkeypatch.setattr(host.psutil, "cpu_times", lambda: next(moments))
    watch = HostWatch()
    assert [watch.look().busy for _ in range(4)] == [None, pytest.approx(0.7), None, None]


def test_memory_is_the_machines_or_its_containers() -> None:
    reading = HostWatch().look()
    assert (reading.total, reading.free > 0) == (host.memory()[0], True)


def test_clocks_that_cannot_be_read_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable() -> None:
        raise OSError("no /proc/stat")

    monkeypatch.setattr(host.psutil, "cpu_times", unreadable)
    watch = HostWatch()
    assert [watch.look().busy, watch.look().busy] == [None, None]
