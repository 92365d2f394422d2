"""A share of the survival benchmark: every way to lose a terminal, to leave one, and every hardship, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e import endings, hardships, survival

pytestmark = pytest.mark.proof


@pytest.mark.parametrize("trial", survival.trials(11), ids=str)
def test_a_lost_terminal_costs_no_step(trial: survival.Trial, tmp_path: Path) -> None:
    assert survival.lose_a_terminal(trial, tmp_path).problem == ""


@pytest.mark.trains
@pytest.mark.parametrize("trial", survival.trials(11, real=True)[::2], ids=str)
def test_a_lost_terminal_costs_the_real_trainer_no_step(trial: survival.Trial, tmp_path: Path) -> None:
    assert survival.lose_a_terminal(trial, tmp_path).problem == ""


@pytest.mark.parametrize("name", endings.ENDINGS)
def test_every_ending_leaves_a_terminal_to_go_on_with(name: str, tmp_path: Path) -> None:
    assert endings.leave_a_terminal(name, tmp_path) == ""


@pytest.mark.parametrize("name", endings.ON_STALLED)
def test_so_it_does_where_nobody_reads_meanwhile(name: str, tmp_path: Path) -> None:
    assert endings.leave_a_terminal(name, tmp_path, stalled=True) == ""


@pytest.mark.parametrize("name", hardships.HARDSHIPS)
@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.trains)], ids=["steps", "trainer"])
def test_hardships(name: str, real: bool, tmp_path: Path) -> None:
    try:
        assert hardships.live_through(name, tmp_path, real=real) == ""
    except hardships.Unable as reason:
        pytest.skip(str(reason))
