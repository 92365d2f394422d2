"""Two settings beside each other: what differs once both are resolved, part by part."""

from __future__ import annotations

from finetty.backend.models.facts import ModelFacts
from finetty.backend.planning import plan
from finetty.backend.planning.compare import Setting, compare

from .conftest import EVERYTHING, card, data, machine, recipe

FIXED = "training.micro_batch=1"


def setting(model: ModelFacts, *settings: str) -> Setting:
    asked = recipe(*settings)
    planned = plan(asked, model, machine(card(24), libraries=EVERYTHING), data())
    return Setting(asked, planned, planned.findings)


def test_only_what_differs_is_there_with_what_follows_from_it(large: ModelFacts) -> None:
    found = compare(setting(large, FIXED, "method.rank=16"), setting(large, FIXED, "method.rank=64"))
    assert {name: values for name, *values in found.options} == {
        "method.rank": [16, 64],
        "method.alpha": [32.0, 128.0],
    }
    parts = {name: values for name, *values in found.components}
    assert parts["adapter"][1] == 4 * parts["adapter"][0]
    assert parts["weights"][0] == parts["weights"][1]
    assert all(one or other for _name, one, other in found.components)


def test_equal_settings_differ_in_nothing(large: ModelFacts) -> None:
    found = compare(setting(large), setting(large))
    assert (found.options, found.only_first, found.only_second) == ((), (), ())


def test_findings_are_told_apart_by_whose_they_are(large: ModelFacts) -> None:
    wild = ("training.micro_batch=3", "training.batch=16")
    first, second = setting(large, *wild), setting(large, *wild, "dataset.cutoff=100000")
    found = compare(first, second)
    assert [one.option for one in found.only_second][:1] == ["dataset.cutoff"]
    assert not found.only_first
    assert "training.batch" in [one.option for one in found.both]
    assert len(found.both) + len(found.only_second) == len(second.findings)
