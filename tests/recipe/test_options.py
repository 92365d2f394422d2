"""An option is declared once: its help, its words, its default and its typed value come from the declaration."""

import pytest

from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe, option_named, options, value_of, with_assignments, with_values


def test_every_option_has_help_and_a_default_that_it_accepts_itself() -> None:
    assert len(options()) > 40
    for option in options().values():
        assert option.help.endswith("."), option.name
        assert option.expected, option.name
        if option.name != "model.path":
            assert option.check(option.default) == option.default


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("training.learning_rate", "2e-4", 2e-4),
        ("training.epochs", "3", 3.0),
        ("method.rank", "auto", "auto"),
        ("method.targets", "[q_proj, v_proj]", ["q_proj", "v_proj"]),
        ("hardware.devices", "0", 0),
        ("hardware.devices", "GPU-1b2c", "GPU-1b2c"),
        ("training.gradient_checkpointing", "true", True),
        ("template.system", "null", None),
        ("dataset.validation", "0.1", 0.1),
        ("dataset.validation", "40", 40),
    ],
)
def test_what_a_person_types(name: str, typed: str, value: object) -> None:
    assert option_named(name).parse(typed) == value
    assert value_of(with_assignments(Recipe(), [f"{name}={typed}"]), name) == value


@pytest.mark.parametrize(
    "typed", ["", "three", "-1", "0", "1.5", "[", "{", "nan", "!!python/name:os.system", "9" * 400]
)
def test_a_number_field_never_raises_but_refuses(typed: str) -> None:
    with pytest.raises(Refusal) as caught:
        option_named("method.rank").parse(typed)
    assert caught.value.option == "method.rank"


def test_setting_names_the_nearest_option() -> None:
    with pytest.raises(Refusal, match=r"no option training\.epoch\. Did you mean training\.epochs\?"):
        with_assignments(Recipe(), ["training.epoch=3"])
    with pytest.raises(Refusal, match="not of the form option=value"):
        with_assignments(Recipe(), ["training.epochs"])


def test_changing_a_recipe_leaves_the_first_one_alone() -> None:
    first = Recipe()
    second = with_values(first, {"method.rank": 8})
    assert (first.method.rank, second.method.rank) == ("auto", 8)
