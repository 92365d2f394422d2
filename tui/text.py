"""Text for a terminal: sizes, durations, and strangers' text with nothing in it that a terminal would obey."""

from __future__ import annotations

import os
import unicodedata

from finetty.backend.messages import size as size

_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}


def visible(text: str) -> str:
    """The text with every control character but newline and tab written out: ESC as \\x1b, an override as \\u202e."""
    return "".join(_shown(character) for character in text)


def one_line(text: str) -> str:
    """The same in one line: a newline as ↵, a tab as a blank."""
    return visible(text).replace("\n", "↵").replace("\t", " ")


def _shown(character: str) -> str:
    if character in "\n\t" or not _obeyed(character):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _obeyed(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"} or ord(character) in _BIDI


def width(text: str) -> int:
    """Cells that the text takes on a terminal: Chinese characters take two."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    marks = sum(unicodedata.combining(character) != 0 for character in text)
    return len(text) + wide - marks


def padded(text: str, cells: int) -> str:
    """The text with blanks behind it until it is so many cells wide."""
    return text + " " * max(0, cells - width(text))


def duration(seconds: float | None) -> str:
    """Seconds as 45s, 3m 20s, 2h 05m or 3d 4h."""
    if seconds is None:
        return "?"
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days}d {hours_left}h"
    if hours:
        return f"{hours}h {minutes_left:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"


def count(number: int | None) -> str:
    """A count with its thousands apart: 1,234,567."""
    return "?" if number is None else f"{number:,}"


def short_count(number: int | None) -> str:
    """A count in thousands, millions or billions: 134.5M."""
    if number is None:
        return "?"
    for limit, unit in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")):
        if number >= limit:
            return f"{number / limit:.1f}{unit}"
    return str(number)


def loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def ascii_only() -> bool:
    """Whether --ascii was asked for, or the locale names another encoding than UTF-8. Without a locale it may be."""
    if os.environ.get("FINETTY_ASCII"):
        return True
    named = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    return "utf" not in next((locale for locale in named if locale), "utf-8").lower()
