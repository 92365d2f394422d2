"""A list of prompts in a text file."""

from __future__ import annotations

from pathlib import Path

from finetty.backend.messages import Refusal, message

NO_PROMPTS = message("results.no_prompts", "The file {path} holds no prompt.")
ONE_A_LINE = message("results.one_a_line", "Write one prompt on each line.")
UNREADABLE = message("results.unreadable_prompts", "The file {path} cannot be read: {reason}.")


def read_prompts(path: Path) -> list[str]:
    """One prompt a line. Raises Refusal."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise Refusal(UNREADABLE(path=path, reason=reason), ONE_A_LINE()) from None
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise Refusal(NO_PROMPTS(path=path), ONE_A_LINE())
    return prompts
