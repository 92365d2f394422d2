"""The page of templates says what the registry holds."""

from __future__ import annotations

from tools import templates_table


def test_the_page_is_current() -> None:
    assert templates_table.PAGE.read_text("utf-8") == templates_table.page()


def test_a_template_is_listed_with_what_it_was_compared_with() -> None:
    (row,) = [line for line in templates_table.page().splitlines() if line.startswith("| `qwen3` |")]
    assert "Qwen/Qwen3-8B" in row
    assert "trl 1.16.0" in row
    assert r"`<\|im_end\|>`" in row
