"""Records what LLaMA-Factory's slots write: `python -m tools.llama_factory PATH-TO/llamafactory/data/template.py`.

The file is read, never run: its calls of register_template hold the slots as literals. Each name's conversation, with
the default system prompt and with another, goes to tests/templates/llama_factory.json.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent.parent / "tests" / "templates" / "llama_factory.json"
SYSTEM = "Answer in rhymes."
EXCHANGES = (("帮我写一首关于春天的诗", "春眠不觉晓"), ("More?", "No."))


def registered(source: str) -> dict[str, dict[str, Any]]:
    """The keywords of each registration by its name: slots as one text, other literals as they are."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "register_template":
            values = {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
            found[values.pop("name")] = values
    return found


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        slots = [keyword.value for keyword in node.keywords if keyword.arg == "slots"]
        return "".join(map(_slot, ast.literal_eval(slots[0]))) if slots else None
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def _slot(slot: Any) -> str:
    """A slot is a text, a set with the name of a special token, or a dict with a token."""
    if isinstance(slot, str):
        return slot
    (text,) = slot.values() if isinstance(slot, dict) else slot
    return f"{{{{{text}}}}}" if text in ("bos_token", "eos_token") else str(text)


def written(template: dict[str, Any], system: str) -> str:
    """The conversation as the slots write it, special tokens as `<s>` and `</s>`."""
    answer = template.get("format_assistant") or ("{{content}}" if template.get("efficient_eos") else "{{content}}</s>")
    system = system or template.get("default_system", "")
    opening = _filled(template.get("format_system") or "{{content}}", system) if system else ""
    folded = template.get("template_class") == "Llama2Template"
    text = (template.get("format_prefix") or "") + ("" if folded else opening)
    for index, (question, answered) in enumerate(EXCHANGES):
        asked = opening + question if folded and index == 0 else question
        text += _filled(template.get("format_user") or "{{content}}", asked) + _filled(answer, answered)
    return text.replace("{{bos_token}}", "<s>").replace("{{eos_token}}", "</s>")


def _filled(slot: str, content: str) -> str:
    return slot.replace("{{content}}", content, 1)


def main() -> None:
    templates = registered(Path(sys.argv[1]).read_text("utf-8"))
    record = {name: [written(slots, ""), written(slots, SYSTEM)] for name, slots in templates.items()}
    RECORD.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
