"""Two languages: what decides between them, and catalogues that are whole, current and compiled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from tools import catalogues

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.recipe import options
from finetty.tui import language
from finetty.tui.actions import ACTIONS, PLACES
from finetty.tui.guide import CHOICES, LABELS, SECTIONS, STEPS
from finetty.tui.language import _, plural, preferred, set_language, translate

GREETING = message("test.greeting", "There is no file {path}.")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_ALL": "en_GB.UTF-8", "FINETTY_LANG": "zh"}, "zh_CN"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "", "LC_MESSAGES": "zh-Hans"}, "zh_CN"),
    ],
)
def test_the_environment_chooses_the_language(environment: dict[str, str], expected: str) -> None:
    assert preferred(environment) == expected


def test_a_language_that_is_not_spoken_is_refused() -> None:
    with pytest.raises(Refusal, match="xx"):
        set_language("xx")


def test_messages_of_the_backend_are_translated_with_their_values() -> None:
    set_language("zh_CN")
    assert translate(GREETING(path="a.jsonl")) == "没有文件 a.jsonl。"
    assert translate(Message("unknown.id", {}, "As it was written.")) == "As it was written."


def test_one_and_many() -> None:
    assert plural("{count} step", "{count} steps", 1) == "1 step"
    assert plural("{count} step", "{count} steps", 2) == "2 steps"
    set_language("zh_CN")
    assert plural("{count} step", "{count} steps", 2) == "2 步"


def test_the_guide_keeps_its_own_chinese_terms() -> None:
    set_language("zh_CN")
    assert _(CHOICES["method.name", "lora"].like).startswith("给房子加智能模块")
    assert _(CHOICES["method.name", "freeze"].like) == "给房子局部装修"
    assert _(CHOICES["method.name", "full"].like) == "拆掉房子重建"
    assert [_(STEPS[step].title) for step in ("model", "method", "template", "acceleration")] == [
        "选择模型",
        "微调方法",
        "对话模板",
        "加速方式",
    ]


@pytest.mark.parametrize("name", catalogues.LANGUAGES)
def test_nothing_is_untranslated_or_left_over(name: str) -> None:
    catalogue = catalogues.updated(name)
    assert catalogues.missing(catalogue) == []
    assert catalogues.po_path(name).read_bytes() == catalogues.po_bytes(catalogue), "run python -m tools.catalogues"


@pytest.mark.parametrize("name", catalogues.LANGUAGES)
def test_the_compiled_catalogue_is_that_of_its_source(name: str) -> None:
    path = catalogues.po_path(name)
    with path.open("rb") as file:
        assert path.with_suffix(".mo").read_bytes() == catalogues.mo_bytes(read_po(file, locale=name))


@pytest.mark.parametrize("name", catalogues.LANGUAGES)
def test_translations_take_the_same_values(name: str) -> None:
    for entry in catalogues.translations(name):
        if entry.id:
            said = catalogues.parts(entry.id)[-1], catalogues.parts(entry.string)[0]
            assert _places(said[0]) == _places(said[1]), entry.id


def test_every_option_and_section_has_a_name_and_every_place_its_actions() -> None:
    assert set(LABELS) == set(options())
    assert set(SECTIONS) == {name.split(".")[0] for name in options()}
    assert {action.where for action in ACTIONS} <= set(PLACES)


def test_keys_of_one_place_do_not_clash() -> None:
    for place in set(PLACES) - {"dashboard"}:  # there one key leaves a run, whether it lives or has ended
        keys = [key for action in ACTIONS if action.where in (place, "everywhere") for key in action.key.split(",")]
        assert len(keys) == len(set(keys)), place


def test_every_screen_of_the_package_says_its_texts_through_the_catalogue() -> None:
    """A literal sentence handed straight to a widget would never be translated."""
    screens = Path(language.__file__).parent / "screens"
    for path in screens.glob("*.py"):
        assert not re.search(r"(Static|Prose|Label)\(\"[A-Z][a-z]+ ", path.read_text(encoding="utf-8")), path


def _places(text: object) -> list[str]:
    return sorted(set(re.findall(r"\{(\w+)(?:[^{}]*)\}", str(text).replace("{{", "").replace("}}", ""))))


def test_no_text_is_no_text_in_any_language() -> None:
    for name in language.LANGUAGES:
        set_language(name)
        assert _("") == ""
