"""What earlier runs on a card took corrects what is predicted for later ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.planning.conftest import Planner, card, found, machine

from finetty.backend.machine.facts import MachineFacts
from finetty.backend.machine.peaks import KEPT, Peak, peaks_file, store_peak, stored_peaks
from finetty.backend.planning import Plan

MIB = 1 << 20
WAY = "lora bf16 none adamw_fused"


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def peak(reserved: float = 1.1, context: int | None = 500 * MIB, way: str = WAY, name: str = "Card 0") -> Peak:
    """A run whose reserved memory was `reserved` times the prediction."""
    taken = round(reserved * 2000 * MIB)
    whole = None if context is None else taken + context
    return Peak(name, "GPU-0", "580.1", "2.13.0", way, 1000 * MIB, 2000 * MIB, 2400 * MIB, 1050 * MIB, taken, whole)


def with_peaks(*peaks: Peak) -> MachineFacts:
    return machine(card(), peaks=peaks)


def test_records_come_back_as_they_were_stored() -> None:
    store_peak(peak())
    store_peak(peak(context=None))
    assert stored_peaks() == (peak(), peak(context=None))


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "null", '{"card": "x"}', json.dumps({**peak().__dict__, "reserved": "many"})]
    + [json.dumps({**peak().__dict__, "predicted_process": value}) for value in (-1, 1e400, None, True)],
)
def test_a_line_that_is_no_record_is_passed_over(line: str) -> None:
    store_peak(peak())
    with peaks_file().open("a") as file:
        file.write(line + "\n")
    store_peak(peak())
    assert len(stored_peaks()) == 2


def test_the_file_does_not_grow_for_ever() -> None:
    for _ in range(3 * KEPT):
        store_peak(peak())
    assert len(stored_peaks()) == KEPT and len(peaks_file().read_text().splitlines()) < 3 * KEPT


def test_a_prediction_is_corrected_and_says_so(planned: Planner) -> None:
    before = planned(on=machine(card())).memory
    after = planned(on=with_peaks(peak(1.2), peak(1.1), peak(1.0)))
    live, base = after.memory.live, after.memory.uncorrected
    assert live is not None and before.live is not None and base == before.live and after.memory.learned_from == 3
    assert live.reserved == round(before.live.reserved * 1.1)
    assert live.allocated == round(before.live.allocated * 1.05)
    assert live.process == live.reserved + 500 * MIB == live.reserved + live.components["context"]
    assert "3 earlier runs" in found(after, "hardware.devices", "note").message.text
    assert Plan.from_json(json.loads(json.dumps(after.to_json()))).memory == after.memory


def test_runs_of_the_same_way_count_before_others(planned: Planner) -> None:
    memory = planned(on=with_peaks(peak(1.0), peak(2.0, way="full bf16 none adamw_fused"))).memory
    assert memory.learned_from == 1 and memory.live is not None and memory.uncorrected is not None
    assert memory.live.reserved == memory.uncorrected.reserved
    other = planned(on=with_peaks(peak(2.0, way="full bf16 none adamw_fused"))).memory
    assert other.live is not None and other.uncorrected is not None
    assert other.live.reserved == 2 * other.uncorrected.reserved


def test_other_cards_other_torches_and_wild_runs_teach_nothing(planned: Planner) -> None:
    plain = planned(on=machine(card())).memory.live
    assert planned(on=with_peaks(peak(name="Another card"))).memory.uncorrected is None
    assert planned(on=with_peaks(replace(peak(), torch="2.9.0"))).memory.uncorrected is None
    wild = planned(on=with_peaks(peak(40.0, context=None))).memory.live
    assert plain is not None and wild is not None and wild.reserved == plain.reserved
    assert planned(on=machine(peaks=(peak(),))).memory.uncorrected is None


def test_what_earlier_runs_took_decides_what_fits(planned: Planner) -> None:
    """`auto` fills a card with as many rows as fit; fewer where runs took more than was predicted."""
    few = [planned(on=machine(card(3), peaks=peaks)) for peaks in ((), (peak(1.9, context=None),))]
    rows = [one.recipe.training.micro_batch for one in few]
    assert (
        rows[1] < rows[0]
        or few[1].recipe.training.gradient_checkpointing > few[0].recipe.training.gradient_checkpointing
    )
    assert all(one.memory.verdict == "fits" for one in few)
