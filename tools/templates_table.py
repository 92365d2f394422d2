"""Writes docs/templates.md, the table of conversation templates: `python -m tools.templates_table`."""

from __future__ import annotations

from pathlib import Path

from finetty.backend.conversation.registry import Template, templates

PAGE = Path(__file__).parent.parent / "docs" / "templates.md"
HEAD = """# Templates

A model's own template is the default (`template: {{name: auto}}`); these {count} serve base models and
whoever wants another.
Every name that LLaMA-Factory registers (0.9.5, and its main branch at 007303c) is among them. {verified} of them
write, character by character, what the publisher's own Jinja writes; where the two differ, the publisher is right.
Where no end is named, the tokenizer's own end token ends an answer. `finetty templates NAME` shows one on a short
conversation, `--jinja` as Jinja.

| name | tools | thinks | media | ends with | source | compared with |
| --- | --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The page as it should be."""
    listed = list(templates())
    head = HEAD.format(count=len(listed), verified=sum(template.verified is not None for template in listed))
    return head + "".join(map(_row, listed))


def _row(template: Template) -> str:
    media = template.media
    kinds = [kind for kind in ("image", "video", "audio") if media and getattr(media, kind)]
    cells = (
        f"`{template.name}`",
        template.tools or "",
        "yes" if template.reasoning else "",
        ", ".join(kinds),
        " ".join(f"`{end}`" for end in template.stop),
        template.source,
        template.verified or "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def main() -> None:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
