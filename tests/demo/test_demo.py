"""The demo's data: every answer in the form, nothing unseen among what is learned, the shown questions unseen ones."""

from __future__ import annotations

from finetty.backend.dataset import read_rows
from finetty.backend.demo import RECIPE, in_form, unseen_questions
from finetty.backend.recipe import load_recipe


def questions_and_answers() -> list[tuple[str, str]]:
    rows = read_rows(load_recipe(RECIPE))
    assert rows.refused_count == rows.duplicates == 0
    return [(row.turns[0].content, row.turns[1].content) for row in rows.rows]


def is_chinese(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def test_the_dataset_is_what_the_readme_says() -> None:
    rows = questions_and_answers()
    assert 110 <= len(rows) <= 130
    assert all(in_form(answer) for _question, answer in rows)
    assert all(is_chinese(question) == is_chinese(answer) for question, answer in rows)
    assert sum(is_chinese(question) for question, _answer in rows) >= 30


def test_the_unseen_questions_are_unseen() -> None:
    learned = {question for question, _answer in questions_and_answers()}
    unseen = unseen_questions()
    assert len(unseen) == 10
    assert not learned & {one.question for one in unseen}
    assert all(is_chinese(one.question) == (one.language == "zh") for one in unseen)


def test_the_questions_shown_are_the_first_unseen_of_each_language() -> None:
    first = [next(one.question for one in unseen_questions() if one.language == language) for language in ("en", "zh")]
    assert load_recipe(RECIPE).output.samples == first


def test_the_form_is_recognised_and_nothing_else_is() -> None:
    assert in_form("Setting: rank\nMeaning: how much it holds.\nTry: 16.")
    assert in_form("设置：秩\n含义：容量。\n建议：16。")
    for other in ("", "Setting: rank", "Setting:\nMeaning: a\nTry: b", "Meaning: a\nSetting: b\nTry: c", "A rank is …"):
        assert not in_form(other)
