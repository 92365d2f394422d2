"""Talking to a run's result on plain lines: a conversation on a terminal, or one answer for a script."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from finetty.backend.conversation import Turn
from finetty.backend.messages import Refusal, message
from finetty.backend.results.exported import Talked, speaker_of, talked_at
from finetty.backend.runs import Run
from finetty.tui.command import find
from finetty.tui.conversation import Settings, take_setting
from finetty.tui.ending import indented
from finetty.tui.language import _, translate
from finetty.tui.text import ascii_only, padded, visible

if TYPE_CHECKING:
    from finetty.backend.results.answers import Answer
    from finetty.backend.results.comparison import Comparison


LONGEST, LONGEST_OF_A_LIST = 1024, 256
"""Tokens of an answer where nothing else was asked for: to a person, and in a comparison."""


NO_COMPARISON = message("chat.no_comparison", "A list of prompts is compared on a run, and {folder} is an export.")
WITHIN_THE_SCREEN = message(
    "chat.within_the_screen", "Name the run, or open the list within the conversation with Ctrl+O."
)


def talked_to(name: str) -> Talked:
    """A run by its name, or what lies in a folder; a run's name counts first. Raises Refusal."""
    if "/" in name or name.startswith("~"):
        return talked_at(Path(name))
    try:
        return find(name)
    except Refusal:
        if not Path(name).is_dir():
            raise
        return talked_at(Path(name))


def answer_once(talked: Talked, prompt: str, settings: Settings, *, base: bool) -> None:
    """Print the answer to one prompt, and nothing else. Raises Refusal."""
    turns = [*instruction(settings), Turn("user", prompt)]
    print(visible("".join(speaker_of(talked).answer(turns, base=base, **settings.sampling())).strip()))


def converse(talked: Talked, settings: Settings, *, base: bool) -> None:
    """Ask and answer until the input ends. `/new` forgets what was said, `/base` and `/tuned` change who answers."""
    print(_("Loading the model…"), file=sys.stderr)
    chat = speaker_of(talked)
    print(
        _(
            "An empty line leaves. /new begins anew; /base and /tuned choose who answers; "
            "/temperature 0.7, /top-p 0.9, /longest 200 and /system TEXT how."
        ),
        file=sys.stderr,
    )
    turns: list[Turn] = []
    for said in questions():
        try:
            if said in ("/base", "/tuned"):
                base = said == "/base"
            elif said == "/new":
                turns = []
            elif said.startswith("/"):
                take_setting(said, settings)
            else:
                asked = [*turns, Turn("user", said)]
                answer = streamed(chat.answer([*instruction(settings), *asked], base=base, **settings.sampling()))
                turns = [*asked, Turn("assistant", answer)]
        except Refusal as refusal:
            print(visible(translate(refusal.said)), file=sys.stderr)


def instruction(settings: Settings) -> list[Turn]:
    """The system turn that was asked for, if any."""
    return [Turn("system", settings.system)] if settings.system else []


def show_comparison(talked: Talked, prompts: Path, settings: Settings, *, as_json: bool, side_by_side: bool) -> None:
    """Both models' answers to each line of the file, their losses on the held-out rows, and what changed."""
    from finetty.backend.results.comparison import compare
    from finetty.backend.results.prompts import read_prompts

    if not isinstance(talked, Run):
        raise Refusal(NO_COMPARISON(folder=talked.path), WITHIN_THE_SCREEN())
    asked = read_prompts(prompts)
    print(_("Loading the model…"), file=sys.stderr)
    tell = print_nothing if as_json else print_side_by_side if side_by_side else print_answer
    found = compare(talked, asked, system=settings.system, **settings.sampling(), tell=tell)
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
        return
    for line in outcome_lines(found):
        print(visible(line))


def print_nothing(_one: Answer) -> None:
    """For whoever reads the whole at its end."""


def print_answer(one: Answer) -> None:
    print(visible(_("asked:  {text}").format(text=one.prompt)))
    print(visible(_("before: {text}").format(text=indented(one.base or ""))))
    print(visible(_("after:  {text}").format(text=indented(one.tuned or ""))) + "\n", flush=True)


def print_side_by_side(one: Answer) -> None:
    """The prompt, and below it both answers in two columns as wide as the terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(visible(one.prompt), "bold"),
        title_justify="left",
        box=box.ASCII2 if ascii_only() else box.SQUARE,
        expand=True,
    )
    for name in (_("base"), _("tuned")):
        table.add_column(name, ratio=1, overflow="fold")
    table.add_row(*(Text(visible(said or "")) for said in (one.base, one.tuned)))
    Console(highlight=False).print(table)


def outcome_lines(found: Comparison) -> Iterator[str]:
    from finetty.backend.results.card import perplexity

    if found.losses:
        head = (_("weights"), _("held-out loss"), _("perplexity"))
        yield f"{padded(head[0], 20)} {head[1]:>14} {head[2]:>12}"
    names = {"base": _("base"), "result": _("result"), "checkpoint": _("checkpoint, step {step}")}
    for measured in found.losses:
        name = names[measured.what].format(step=measured.step)
        yield f"{padded(name, 20)} {measured.loss:14.4f} {perplexity(measured.loss):12.2f}"
    if found.problem:
        yield translate(found.problem)
    yield ""
    yield " ".join(translate(fact) for fact in found.facts)


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
