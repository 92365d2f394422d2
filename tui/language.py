"""The language of the screen: English source text is the key, a compiled catalogue holds the translation."""

from __future__ import annotations

import gettext
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from finetty.backend.messages import Message, Refusal, fill, message

NO_SUCH_LANGUAGE = message("language.unknown", "finetty does not speak {name}.")
SPOKEN = message("language.spoken", "Choose en or zh_CN.")

Language = Literal["en", "zh_CN"]
LANGUAGES: dict[Language, str] = {"en": "English", "zh_CN": "简体中文"}
"""Each language in its own name, which needs no translation."""

_LOCALE = Path(__file__).parent / "locale"
_current: Language | None = None


def _(text: str) -> str:
    """The text in the language of the screen; of no text gettext would give the catalogue's own header."""
    return text if language() == "en" or not text else _catalogue(language()).gettext(text)


def plural(one: str, many: str, count: int) -> str:
    """The form that goes with `count`, with `{count}` filled in."""
    return _catalogue(language()).ngettext(one, many, count).format(count=count)


def mark(text: str) -> str:
    """The text as it is, marked for the catalogue: for what is declared once and translated when it is shown."""
    return text


def translate(message: Message) -> str:
    """A message of the backend in the language of the screen; one that this version does not know as it was written."""
    if message.template is None:
        return message.text
    try:
        return fill(_(message.template), {name: _translated(value) for name, value in message.values.items()})
    except (KeyError, IndexError, ValueError):
        return message.written or message.template


def _translated(value: Any) -> Any:
    return translate(value) if isinstance(value, Message) else value


def language() -> Language:
    global _current
    if _current is None:
        _current = preferred(os.environ)
    return _current


def set_language(name: str | None) -> None:
    """Take a language for this process; None takes the environment's. Raises Refusal on one that it does not speak."""
    global _current
    found = preferred(os.environ) if name is None else _known(name)
    if found is None:
        raise Refusal(NO_SUCH_LANGUAGE(name=name), SPOKEN())
    _current = found


def other_language() -> Language:
    """The language that the language key changes to."""
    names = list(LANGUAGES)
    return names[(names.index(language()) + 1) % len(names)]


def preferred(environment: Mapping[str, str]) -> Language:
    """What FINETTY_LANG, LC_ALL, LC_MESSAGES and LANG ask for, in this order; English where they ask for neither."""
    for variable in ("FINETTY_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(variable):
            return _known(environment[variable]) or "en"
    return "en"


def _known(name: str) -> Language | None:
    """`zh`, `zh_CN.UTF-8`, `zh-Hans` are Chinese; `en_GB`, `C` and `POSIX` English."""
    base = name.split(".")[0].replace("-", "_").split("_")[0].lower()
    return {"zh": "zh_CN", "en": "en", "c": "en", "posix": "en"}.get(base)  # type: ignore[return-value]


@cache
def _catalogue(name: Language) -> gettext.NullTranslations:
    return gettext.translation("finetty", _LOCALE, languages=[name], fallback=True)
