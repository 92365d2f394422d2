"""Talking to a run's result on plain lines: a conversation on a terminal, or one answer for a script."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from finetty.backend.conversation import Turn
from finetty.backend.runs import Run
from finetty.tui.language import _
from finetty.tui.text import visible


def answer_once(run: Run, prompt: str, *, base: bool) -> None:
    """Print the answer to one prompt, and nothing else. Raises Refusal."""
    from finetty.backend.results import Chat

    print(visible("".join(Chat(run).answer([Turn("user", prompt)], base=base)).strip()))


def converse(run: Run, *, base: bool) -> None:
    """Ask and answer until the input ends. `/new` forgets what was said, `/base` and `/tuned` change who answers."""
    from finetty.backend.results import Chat

    print(_("Loading the model…"), file=sys.stderr)
    chat = Chat(run)
    print(_("An empty line leaves. /new begins anew; /base and /tuned choose who answers."), file=sys.stderr)
    turns: list[Turn] = []
    for said in questions():
        if said in ("/base", "/tuned"):
            base = said == "/base"
        elif said == "/new":
            turns = []
        else:
            turns.append(Turn("user", said))
            answer = streamed(chat.answer(turns, base=base))
            turns.append(Turn("assistant", answer))


def questions() -> Iterator[str]:
    """What the person types, line by line, until an empty line or the end."""
    while True:
        try:
            said = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if not said:
            return
        yield said


def streamed(pieces: Iterator[str]) -> str:
    """Print the pieces as they come; returns the whole. Ctrl+C ends the answer, not the conversation."""
    whole = ""
    try:
        for piece in pieces:
            whole += piece
            print(visible(piece), end="", flush=True)
    except KeyboardInterrupt:
        pass
    print()
    return whole
