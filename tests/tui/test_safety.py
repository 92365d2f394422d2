"""Whether the terminal may go, and the machine, is said on the dashboard as it was found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.tui.test_dashboard import SIZES, opened, quick_and_still

from finetty.backend.machine import mounts
from finetty.backend.machine.mounts import Mount
from finetty.backend.machine.session import LINGER, LOGIND
from finetty.backend.messages import Finding
from finetty.tui.ending import ending_lines
from finetty.tui.follow import Follower

from .looking import sees, shown, until

Make = Callable[..., Any]
KILLED = Finding("warning", None, LOGIND(), LINGER())

__all__ = ["quick_and_still"]


@pytest.fixture(autouse=True)
def a_disk_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the tests' folder is."""
    monkeypatch.setattr(mounts, "mount_table", lambda: [Mount("/", "ext4", "/dev/vda")])


@pytest.mark.parametrize("size", SIZES)
async def test_a_run_that_outlives_its_session_says_so(made_run: Make, size: tuple[int, int]) -> None:
    made = made_run()
    made.train(40)
    async with opened(made, size) as pilot:
        assert "safe to disconnect" in shown(pilot.app).splitlines()[0]
        assert "not safe" not in shown(pilot.app)
    made.end()


async def test_before_the_trainer_has_looked_nothing_is_said(made_run: Make) -> None:
    made = made_run()
    made.begin()
    made.state("loading")
    async with opened(made) as pilot:
        assert "disconnect" not in shown(pilot.app)
        made.session()
        await sees(pilot, "safe to disconnect")
    made.end()


async def test_what_ends_it_at_logout_is_named_with_the_mend(made_run: Make) -> None:
    made = made_run()
    made.begin()
    made.state("loading")
    made.session(KILLED)
    made.state("running")
    made.steps(1, 5)
    async with opened(made, (100, 30)) as pilot:
        await sees(pilot, "not safe to disconnect: see Alerts")
        await sees(pilot, "Alerts (1)")
        await pilot.press("tab", "tab", "f")
        await sees(pilot, "KillUserProcesses=yes")
        await sees(pilot, "loginctl enable-linger")
        made.session(KILLED)  # a resumed process finds the same
        made.steps(6, 7)
        await until(pilot, lambda: pilot.app.screen.view.step == 7)
        assert len(pilot.app.screen.view.alerts) == 1
    made.end()
    lines = list(Follower(made.run).lines())
    assert any(line.startswith("warning: ") and "KillUserProcesses" in line for line in lines)


@pytest.mark.parametrize("size", SIZES)
async def test_a_whole_result_may_be_left_alone(made_run: Make, size: tuple[int, int]) -> None:
    made = made_run()
    made.train(300)
    made.finish()
    async with opened(made, size, owner=False) as pilot:
        await until(pilot, lambda: "safe to shut down" in shown(pilot.app).splitlines()[0])
        assert "not safe" not in shown(pilot.app)
        (made.run.output / "adapter_model.safetensors").write_bytes(b"")
        await sees(pilot, "not safe to shut down")
        await sees(pilot, "not whole: adapter_model.safetensors is missing")
    assert any("adapter_model.safetensors" in line for line in ending_lines(made.run))
    (made.run.output / "adapter_model.safetensors").write_bytes(b"weights")
    assert "safe to shut down: the result is whole and on the disk" in list(ending_lines(made.run))


async def test_a_result_that_goes_with_the_container_says_so(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "mount_table", lambda: [Mount("/", "overlay", "overlay")])
    made = made_run()
    made.train(300)
    made.finish()
    async with opened(made, (120, 40)) as pilot:
        await sees(pilot, "not safe to shut down")
        await sees(pilot, "This is the container's own layer (overlay)")
    assert any("Copy" in line and made.run.id in line for line in ending_lines(made.run))


async def test_while_its_process_may_still_write_nothing_is_said(made_run: Make) -> None:
    made = made_run()
    made.train(300)
    made.save()
    made.state("finished")
    made.status(**made.run._claim())
    async with opened(made) as pilot:
        await sees(pilot, "Finished")
        assert "shut down" not in shown(pilot.app)
        made.end()
        await sees(pilot, "safe to shut down")


async def test_a_failed_run_says_what_is_on_the_disk(made_run: Make) -> None:
    made = made_run()
    made.train(123)
    made.alert("error", "The loss is lost.", "Take a lower rate.")
    made.finish("failed")
    async with opened(made) as pilot:
        await sees(pilot, "no result on the disk")
        await sees(pilot, "There is no result.")


async def test_the_result_of_an_earlier_end_does_not_count(made_run: Make) -> None:
    made = made_run()
    made.train(40)
    made.save(40)
    made.state("stopped")
    made.state("loading", resumed_from=40)
    made.state("failed")
    made.end()
    async with opened(made) as pilot:
        await sees(pilot, "no result on the disk")
