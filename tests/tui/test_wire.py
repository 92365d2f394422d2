"""What goes over the wire: fewer bytes, and the very same picture on the terminal."""

from __future__ import annotations

import random

import pyte
import pytest

from finetty.tui.wire import change, lean

STYLES = [
    "38;2;1;2;3", "48;2;18;22;28", "1;38;2;1;2;3;48;2;18;22;28", "38;2;9;9;9;48;2;18;22;28", "7;31;44", "31;44", "2",
    "3;4;38;5;7", "92;100",
]  # fmt: skip


def picture(text: str) -> list[object]:
    """Every cell of a terminal with its colours and attributes."""
    screen = pyte.Screen(40, 4)
    pyte.Stream(screen).feed(text)
    return [screen.buffer[y][x] for y in range(4) for x in range(40)]


@pytest.mark.parametrize("seed", range(20))
def test_the_picture_is_the_same(seed: int) -> None:
    dice = random.Random(seed)
    parts = []
    for _ in range(40):
        style = dice.choice(STYLES)
        parts.append(f"\x1b[{style}m{dice.choice(['a', '⠋', '中', ' '])}\x1b[0m")
        if dice.random() < 0.2:
            parts.append(dice.choice(["x", f"\x1b[{dice.randint(1, 4)};{dice.randint(1, 30)}H", "\r\n", "\x1b[1m"]))
    text = "".join(parts)
    assert picture(lean(text)) == picture(text)
    assert len(lean(text)) < len(text)


def test_only_what_changes_is_said() -> None:
    runs = [("38;2;1;1;1", "a"), ("38;2;2;2;2", "b"), ("38;2;2;2;2", "c")]
    text = "".join(f"\x1b[{colour};48;2;5;5;5m{letter}\x1b[0m" for colour, letter in runs)
    assert lean(f"\x1b[0m{text}") == "\x1b[0m\x1b[38;2;1;1;1;48;2;5;5;5ma\x1b[38;2;2;2;2mbc\x1b[0m"


def test_an_attribute_that_ends_is_reset() -> None:
    assert change("1;31", "31") == "\x1b[0;31m"
    assert change("31;44", "31") == "\x1b[0;31m"
    assert change("31", "1;31") == "\x1b[1m"


def test_codes_that_take_something_back_are_left_alone() -> None:
    assert change("1;22", "31") == "\x1b[0m\x1b[31m"


def test_other_sequences_and_text_are_left_alone() -> None:
    text = "\x1b[?1049h\x1b[2J\x1b]0;title\x07[0m \x1b[3;4Hm\x1b[>1u"
    assert lean(text) == text
