"""What is written to the terminal, without the styles that it has already: over a wire, colours cost more than text."""

from __future__ import annotations

import re
from functools import lru_cache

_STYLES = re.compile(r"\x1b\[0?m\x1b\[([1-9][\d;]*)m|\x1b\[([\d;]*)m")
"""A reset and at once the next style, as they stand between two runs of text; or a style or a reset by itself."""
_PARTS = re.compile(r"[34]8;2;\d+;\d+;\d+|[34]8;5;\d+|\d+")
_FOREGROUND, _BACKGROUND = (*range(30, 39), *range(90, 98)), (*range(40, 49), *range(100, 108))


def lean(text: str) -> str:
    """The same picture in fewer bytes: between two runs of text only what changes is said.

    Each text stands for itself: styles that it found on the terminal are not relied on.
    """
    now: str | None = None
    """The codes of the style in force, "" after a reset, None where they are not known."""

    def shorter(found: re.Match[str]) -> str:
        nonlocal now
        following, alone = found.groups()
        if following is None:
            now = "" if alone in ("", "0") else alone if now == "" else None
            return found.group()
        before, now = now, following
        return change(before, following) if before else found.group()

    return _STYLES.sub(shorter, text)


@lru_cache(maxsize=4096)
def change(before: str, after: str) -> str:
    """What leads from one style to another; each is the codes that follow a reset."""
    old, new = _split(before), _split(after)
    if old is None or new is None:
        return f"\x1b[0m\x1b[{after}m"
    if any(kind not in new for kind in old):
        return f"\x1b[0;{after}m"
    codes = [code for kind, code in new.items() if old.get(kind) != code]
    return f"\x1b[{';'.join(codes)}m" if codes else ""


def _split(codes: str) -> dict[str, str] | None:
    """Codes by what they set: each attribute for itself, and the two colours. None for codes that take back."""
    found: dict[str, str] = {}
    for code in _PARTS.findall(codes):
        number = int(code.partition(";")[0])
        if number in _FOREGROUND:
            found["foreground"] = code
        elif number in _BACKGROUND:
            found["background"] = code
        elif 1 <= number <= 9:
            found[code] = code
        else:
            return None
    return found
