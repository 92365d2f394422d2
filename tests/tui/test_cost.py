"""Where an hour has a price, the dashboard and the last words say what the run has cost and will have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.tui.test_dashboard import SIZES, opened, quick_and_still
from typer.testing import CliRunner

from finetty.backend.runs.labels import labels_of, set_price
from finetty.backend.runs.price import Price
from finetty.tui.command import app as commands
from finetty.tui.ending import ending_lines

from .looking import sees, shown

Make = Callable[..., Any]
__all__ = ["quick_and_still"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cards", [0, 8])
async def test_the_cost_so_far_and_at_the_end(made_run: Make, size: tuple[int, int], cards: int) -> None:
    made = made_run()
    made.train(123)
    for index in range(cards):
        made.gpu(index)
    set_price(made.run, Price(18, "¥"))
    async with opened(made, size) as pilot:
        # 255 seconds so far and 354 left, at 18 an hour
        await sees(pilot, "¥1.27", "≈ ¥3.04 at the end", "tokens seen")
    made.end()


async def test_a_price_that_is_said_later_is_taken_up_and_pauses_cost_too(made_run: Make) -> None:
    made = made_run()
    made.train(123)
    async with opened(made, owner=False) as pilot:
        assert "cost" not in shown(pilot.app)
        set_price(made.run, Price(3600, "", " USD"))
        await sees(pilot, "255.00 USD")
        made.state("paused")
        made.now += 45
        await sees(pilot, "300.00 USD")
    made.end()


async def test_what_earlier_processes_took_is_paid_too(made_run: Make) -> None:
    made = made_run()
    made.train(40)  # 89 seconds
    made.now += 5000  # the machine was off
    made.state("loading", resumed_from=30)
    made.now += 11
    set_price(made.run, Price(3600))
    async with opened(made) as pilot:
        await sees(pilot, "100.00")
    made.end()


async def test_the_end_says_what_it_came_to(made_run: Make) -> None:
    made = made_run()
    made.train(300)
    set_price(made.run, Price(2.49, "", " USD"))
    made.finish()
    async with opened(made) as pilot:
        await sees(pilot, "cost: 0.42 USD")
    assert "cost: 0.42 USD (10m 09s at 2.49 USD an hour)" in list(ending_lines(made.run))


def test_the_command_line_keeps_it_with_the_run(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import finetty.tui.cli  # noqa: F401 - it registers the commands

    made = made_run()
    made.train(40)
    made.finish()
    monkeypatch.setenv("FINETTY_RUNS", str(made.path.parent))
    refused = CliRunner().invoke(commands, ["attach", made.run.id, "--plain", "--price", "much"])
    assert refused.exit_code == 2
    assert labels_of(made.run).price is None
    told = CliRunner().invoke(commands, ["attach", made.run.id, "--plain", "--price", "2.49 USD"])
    assert told.exit_code == 0, told.output
    *_lines, cost, last = told.output.splitlines()
    assert cost == "cost: 0.06 USD (1m 29s at 2.49 USD an hour)"
    assert last == f"finished {made.run.id} finished"
    assert json.loads((made.path / "labels.json").read_text())["price"] == "2.49 USD"
