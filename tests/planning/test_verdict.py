"""The verdict follows the exact figure once there is one, and so do the findings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning import plan
from finetty.backend.planning.plan import Plan
from finetty.backend.planning.verdict import OVER, TIGHT, with_exact

from .conftest import card, data, machine, recipe


def with_process(planned: Plan, share: float) -> Plan:
    """As if the replay had found this share of what is free."""
    live, device = planned.memory.live, planned.memory.device
    assert live is not None and device is not None and device.free is not None
    return with_exact(planned, replace(live, process=int(share * device.free)))


def about_memory(planned: Plan) -> list[tuple[str, str]]:
    return [(found.level, found.message.id) for found in planned.findings if found.message.id in (OVER.id, TIGHT.id)]


@pytest.fixture
def shown(small: ModelFacts) -> Plan:
    return plan(recipe(), small, machine(card()), data())


def test_each_share_has_its_verdict(shown: Plan) -> None:
    assert with_process(shown, 0.5).memory.verdict == "fits"
    assert with_process(shown, 0.95).memory.verdict == "tight"
    assert with_process(shown, 1.05).memory.verdict == "over"


def test_a_finding_of_the_live_figure_gives_way(shown: Plan) -> None:
    over = with_process(shown, 9.0)
    assert about_memory(over) == [("error", OVER.id)] and over.errors
    assert about_memory(with_process(over, 1.05)) == [("warning", OVER.id)]
    assert about_memory(with_process(over, 0.95)) == [("note", TIGHT.id)]
    assert about_memory(with_process(over, 0.5)) == []


def test_what_may_not_fit_has_a_way_out(shown: Plan) -> None:
    assert all(found.fix for found in with_process(shown, 1.05).findings if found.message.id == OVER.id)
