"""Writes the tables of both READMEs from the declarations in the code: `python -m tools.readme`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from finetty.backend.recipe import options
from finetty.tui.language import Language, _, set_language, translate
from finetty.tui.plain import shown
from finetty.tui.text import size

PROJECT = Path(__file__).parent.parent
PROVEN = PROJECT / "docs" / "proven"
PROVEN_HEADS: dict[Language, tuple[str, ...]] = {
    "en": ("way", "device", "works", "peak predicted", "peak measured", "tokens/s", "torch"),
    "zh_CN": ("方式", "设备", "可用", "预测峰值", "实测峰值", "token/秒", "torch"),
}
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


def proven_table(language: Language) -> str:
    """Every way of training that `finetty doctor --prove` tried, from the reports in docs/proven."""
    set_language(language)
    names = PROVEN_HEADS[language]
    rows = [
        proven_row(one, report)
        for report in (json.loads(file.read_text("utf-8")) for file in sorted(PROVEN.glob("*.json")))
        for one in report["paths"]
    ]
    return "| " + " | ".join(names) + " |\n" + "| --- " * len(names) + "|\n" + "".join(rows)


def proven_row(one: dict[str, Any], report: dict[str, Any]) -> str:
    cells = [one["name"], one["device"]]
    if one["worked"]:
        cells[0] += f", {one['compute']}"
        cells += [_("yes"), size((one["predicted"] or {}).get("process")), size(one["measured"]["process"])]
        cells += [str(one["tokens_per_second"])]
    else:
        cells += [one["reason"], "", "", ""]
    cells += [report["machine"]["versions"]["torch"]]
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |\n"


def filled(readme: str, language: Language) -> str:
    """The README's text with its generated tables up to date."""
    for mark, table in (("options", options_table(language)), ("proven", proven_table(language))):
        begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
        readme = re.sub(f"{begin}.*{end}", lambda _match: f"{begin}\n{table}{end}", readme, flags=re.DOTALL)  # noqa: B023
    return readme


def main() -> None:
    for language, name in READMES.items():
        path = PROJECT / name
        path.write_text(filled(path.read_text("utf-8"), language), "utf-8")


if __name__ == "__main__":
    main()
