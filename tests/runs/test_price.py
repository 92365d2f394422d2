"""A price is a number with a unit as it was typed; it stays with the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe, with_values
from finetty.backend.runs import Run
from finetty.backend.runs.labels import archive, labels_of, set_price, tag
from finetty.backend.runs.price import Price, price_of


@pytest.mark.parametrize(
    ("typed", "price", "half_an_hour"),
    [
        ("2.49", Price(2.49), "1.25"),
        ("2.49 USD", Price(2.49, "", " USD"), "1.25 USD"),
        ("¥18", Price(18, "¥"), "¥9.00"),
        ("$ 0.526/h", Price(0.526, "$ "), "$ 0.26"),
        (" 3€ / hour ", Price(3, "", "€"), "1.50€"),
        ("0", Price(0), "0.00"),
        ("18 元", Price(18, "", " 元"), "9.00 元"),
    ],
)
def test_a_number_with_its_unit(typed: str, price: Price, half_an_hour: str) -> None:
    assert price_of(typed) == price
    assert price.cost(1800) == half_an_hour
    assert price_of(str(price)) == price


@pytest.mark.parametrize("typed", ["", "much", "-2", "1,50", "1 2", "2.49 \x1b[31mUSD", "1e9", "9" * 12, "x" * 99])
def test_anything_else_is_refused(typed: str) -> None:
    with pytest.raises(Refusal) as refused:
        price_of(typed)
    assert "2.49 USD" in str(refused.value)


def test_it_stays_with_the_run_beside_its_tags(tmp_path: Path) -> None:
    run = Run.create(tmp_path, {}, with_values(Recipe(), {"model.path": "a/model"}))
    tag(run, add=["good"])
    set_price(run, Price(18, "¥"))
    archive(run)
    labels = labels_of(Run.open(run.path))
    assert (labels.tags, labels.archived, labels.price) == (("good",), True, Price(18, "¥"))
    (run.path / "labels.json").write_text('{"tags": ["good"], "price": "much"}')
    assert labels_of(run).price is None
