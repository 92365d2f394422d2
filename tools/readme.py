"""Writes the tables of both READMEs from the declarations in the code: `python -m tools.readme`."""

from __future__ import annotations

import re
from pathlib import Path

from finetty.backend.recipe import options
from finetty.tui.language import Language, _, set_language, translate
from finetty.tui.plain import shown

PROJECT = Path(__file__).parent.parent
READMES: dict[Language, str] = {"en": "README.md", "zh_CN": "README.zh-CN.md"}


def options_table(language: Language) -> str:
    """Every option of a recipe as a Markdown table, in this language."""
    set_language(language)
    head = (
        "| " + " | ".join([_("option"), _("takes"), _("default"), _("what it is")]) + " |\n| --- | --- | --- | --- |\n"
    )
    rows = (
        f"| `{option.name}` | {translate(option.expected)} | {default(option.default)} | {_(option.help)} |\n"
        for option in options().values()
    )
    return head + "".join(rows)


def default(value: object) -> str:
    return f"`{shown(value)}`" if value not in ("", None) and "Undefined" not in repr(value) else ""


def filled(readme: str, language: Language) -> str:
    """The README's text with its generated table up to date."""
    table = f"<!-- options -->\n{options_table(language)}<!-- end of options -->"
    return re.sub(r"<!-- options -->.*<!-- end of options -->", lambda _match: table, readme, flags=re.DOTALL)


def main() -> None:
    for language, name in READMES.items():
        path = PROJECT / name
        path.write_text(filled(path.read_text("utf-8"), language), "utf-8")


if __name__ == "__main__":
    main()
