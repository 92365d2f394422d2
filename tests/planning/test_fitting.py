"""Make it fit: which changes are offered for a card, in which order, what each saves, and that they are enough."""

from __future__ import annotations

from typing import Any

import pytest

from finetty.backend.machine.facts import MachineFacts
from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning import plan
from finetty.backend.planning.fitting import COMPUTE, Change, make_fit, priced
from finetty.backend.recipe import Recipe, value_of, with_values

from .conftest import EVERYTHING, NOTHING, card, data, machine, recipe

MILDEST_FIRST = [
    "training.micro_batch",
    "acceleration.liger",
    "training.gradient_checkpointing",
    "training.optimizer",
    "precision.quantization",
    "method.name",
    "method.rank",
    "dataset.cutoff",
]


def options(changes: tuple[Change, ...]) -> list[str]:
    return [option for change in changes for option in change.values if change.values[option] != change.before[option]]


def changed(asked: Recipe, changes: tuple[Change, ...]) -> Recipe:
    for change in changes:
        asked = with_values(asked, change.values)
    return asked


def fitted(asked: Recipe, model: ModelFacts, on: MachineFacts, rows: Any) -> tuple[Change, ...]:
    """The changes, after checking what must hold for any of them."""
    changes = make_fit(asked, model, on, rows)
    before = plan(asked, model, on, rows)
    needed = before.memory.live.process if before.memory.live else 0
    for change in changes:
        assert change.saved > 0
        assert change.needed == needed - change.saved
        needed = change.needed
    after = plan(changed(asked, changes), model, on, rows)
    if changes:
        assert after.memory.verdict == changes[-1].verdict
    assert value_of(after.recipe, "training.batch") == value_of(before.recipe, "training.batch")
    return changes


def test_what_fits_is_left_alone(small: ModelFacts) -> None:
    assert fitted(recipe(), small, machine(card(24), libraries=EVERYTHING), data()) == ()


def test_what_is_not_known_is_left_alone() -> None:
    assert make_fit(recipe(), None, machine(card(24)), data()) == ()


def test_a_large_micro_batch_goes_through_in_parts(large: ModelFacts) -> None:
    asked = recipe(
        "training.batch=32", "training.micro_batch=32", "training.gradient_checkpointing=true",
        "precision.quantization=nf4",
    )  # fmt: skip
    changes = fitted(asked, large, machine(card(24), libraries=EVERYTHING), data(length=1000))
    assert options(changes) == ["training.micro_batch"]
    rows = changes[0].values["training.micro_batch"]
    assert 1 < rows < 32
    assert changes[0].before == {"training.micro_batch": 32}
    assert f"{32 // rows} parts" in changes[0].cost.text
    assert changes[0].verdict == "fits"


def test_sixteen_bits_that_were_asked_for_become_four(large: ModelFacts) -> None:
    asked = recipe("precision.quantization=none")
    changes = fitted(asked, large, machine(card(12), libraries=EVERYTHING), data())
    assert "precision.quantization" in options(changes)
    assert changes[-1].verdict == "fits"
    assert options(changes).index("precision.quantization") == len(changes) - 1


def test_full_tuning_comes_down_to_an_adapter_and_mildest_first(large: ModelFacts) -> None:
    changes = fitted(
        recipe("method.name=full", "training.gradient_checkpointing=false"),
        large,
        machine(card(24), libraries=EVERYTHING),
        data(length=800),
    )
    order = options(changes)
    assert "method.name" in order
    assert order == sorted(order, key=MILDEST_FIRST.index)
    assert "dataset.cutoff" not in order
    assert changes[-1].verdict == "fits"


def test_nothing_is_offered_that_this_machine_cannot_do(large: ModelFacts) -> None:
    changes = fitted(recipe("method.name=full"), large, machine(card(12), libraries=NOTHING), data(length=2000))
    order = options(changes)
    assert {"precision.quantization", "training.optimizer", "acceleration.liger"}.isdisjoint(order)
    assert changes[-1].verdict == "over"


def test_rows_are_cut_only_when_nothing_else_is_left(large: ModelFacts) -> None:
    asked = recipe(
        *("precision.quantization=nf4", "method.rank=4", "training.micro_batch=1"),
        *("training.gradient_checkpointing=true", "dataset.cutoff=8000"),
    )
    changes = fitted(asked, large, machine(card(12), libraries=NOTHING | {
        "bitsandbytes": EVERYTHING["bitsandbytes"]}), data(length=8000))  # fmt: skip
    assert options(changes)[-1] == "dataset.cutoff"
    assert "of 400 rows lose their ends" in changes[-1].cost.text
    assert changes[-1].verdict == "fits"


@pytest.mark.parametrize("gib", [8, 12, 16, 24, 48])
@pytest.mark.parametrize("method", ["lora", "freeze", "full"])
@pytest.mark.parametrize("length", [300, 3000])
def test_the_promise_holds_on_every_card(gib: int, method: str, length: int, large: ModelFacts) -> None:
    asked = recipe(f"method.name={method}", "training.batch=16", "training.micro_batch=8")
    changes = fitted(asked, large, machine(card(gib), libraries=EVERYTHING), data(length=length))
    order = options(changes)
    assert len(order) == len(set(order))
    for change in changes[:-1]:
        others = tuple(other for other in changes if other is not change)
        spared = plan(changed(asked, others), large, machine(card(gib), libraries=EVERYTHING), data(length=length))
        assert changes[-1].verdict != "fits" or spared.memory.verdict != "fits", f"{change} was not needed"
    if gib >= 12:
        assert not changes or changes[-1].verdict == "fits"


def test_what_was_replayed_is_priced_exactly_and_the_rest_as_it_was() -> None:
    first = Change({"training.micro_batch": 1}, {"training.micro_batch": 2}, 10, COMPUTE(), 90, "over")
    second = Change({"method.rank": 8}, {"method.rank": 16}, 20, COMPUTE(), 70, "tight")
    found = priced((first, second), {0: 1000, 1: 700}, free=900)
    assert (found[0].saved, found[0].needed, found[0].verdict, found[0].exact) == (300, 700, "fits", True)
    assert found[1] == second
    assert priced((first, second), {0: 1000, 2: 500}, free=900) == (first, second)
