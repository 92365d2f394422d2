"""Sets mixed by weight: how often each row is seen, the same everywhere, and never on both sides of the split."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetty.backend.dataset import Rows, read_rows, split_rows
from finetty.backend.dataset.mixing import Stretch, mixed
from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe, with_values


@pytest.fixture
def two_sets(tmp_path: Path) -> tuple[str, str]:
    for name in "ab":
        rows = [json.dumps({"prompt": f"{name}{number}", "completion": "x"}) for number in range(40)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    return str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")


def read(paths: tuple[str, str], weights: tuple[float, float], seed: int = 42) -> Rows:
    train = [{"path": path, "weight": weight} for path, weight in zip(paths, weights, strict=True)]
    return read_rows(with_values(Recipe(), {"dataset.train": train, "training.seed": seed}))


def questions(rows: Rows) -> list[str]:
    return [row.turns[0].content for row in rows.rows]


@pytest.mark.parametrize("weights", [(1.0, 1.0), (2.0, 0.5), (0.25, 1.5), (3.0, 0.001)])
def test_rows_are_seen_as_often_as_their_weight_says(two_sets: tuple[str, str], weights: tuple[float, float]) -> None:
    seen = Counter(question[0] for question in questions(read(two_sets, weights)))
    assert seen == {name: max(1, round(40 * weight)) for name, weight in zip("ab", weights, strict=True)}


def test_the_mix_is_a_pure_function_of_the_seed(two_sets: tuple[str, str]) -> None:
    first, again, other = (read(two_sets, (0.5, 1.0), seed) for seed in (1, 1, 2))
    assert questions(first) == questions(again) != questions(other)
    assert first.sha256 == again.sha256 != other.sha256


def test_copies_of_a_row_stay_on_one_side(two_sets: tuple[str, str]) -> None:
    rows = read(two_sets, (2.0, 1.0))
    train, held_out = split_rows(rows.rows, 15, 42)
    assert len(train) + len(held_out) == len(rows.rows) == 120
    assert len(held_out) == 15
    assert not {row.turns for row in train} & {row.turns for row in held_out}


def test_a_weight_of_nothing_is_refused(two_sets: tuple[str, str]) -> None:
    with pytest.raises(Refusal, match="weight"):
        read(two_sets, (0.0, 1.0))


@given(
    sizes=st.lists(st.tuples(st.integers(0, 30), st.floats(0.01, 4)), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_place_is_within_its_stretch(sizes: list[tuple[int, float]], seed: int) -> None:
    stretches, start = [], 0
    for size, weight in sizes:
        stretches.append(Stretch(start, start + size, weight))
        start += size
    places = mixed(stretches, lambda place: place.to_bytes(16, "big"), seed)
    for stretch in stretches:
        inside = Counter(place for place in places if stretch.start <= place < stretch.end)
        assert set(inside.values()) <= {int(stretch.weight), int(stretch.weight) + 1}
        assert bool(inside) == (stretch.end > stretch.start)
    assert all(place < start for place in places)
