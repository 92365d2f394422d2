"""What goes wrong, said on a terminal: one clear sentence, what mends it, and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from finetty.backend.messages import Refusal
from finetty.tui.language import _, translate
from finetty.tui.text import visible

EXIT_FAILED, EXIT_REFUSED = 1, 2
EXIT_CODES = {"finished": 0, "stopped": 130}


def exit_code_of(state: str, signalled: int | None = None) -> int:
    """Of a run that is over; `signalled` is the signal that stopped it, where one did."""
    if state == "stopped" and signalled == signal.SIGTERM:
        return 128 + signal.SIGTERM
    return EXIT_CODES.get(state, EXIT_FAILED)


def with_errors_said(action: Callable[[], None], *, debug: bool = False) -> None:
    """Run `action`; what goes wrong is said on stderr and ends the process: 2 where it was refused, 1 for a fault."""
    try:
        action()
    except Refusal as refusal:
        if debug:
            traceback.print_exc()
        stop(said(refusal))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if type(error).__module__.startswith("typer"):
            raise
        if debug:
            traceback.print_exc()
        problem = f"{type(error).__name__}: {error}"
        stop(
            _("finetty itself failed: {problem}. Run it again with --debug to see where.").format(problem=problem),
            EXIT_FAILED,
        )


def said(refusal: Refusal) -> str:
    """A refusal as one line in the user's language: place, what is wrong, what mends it."""
    place = "" if refusal.path is None else f"{refusal.path}:{refusal.line}: " if refusal.line else f"{refusal.path}: "
    return place + sentence(refusal)


def sentence(refusal: Refusal) -> str:
    """What is wrong and what mends it, in the user's language."""
    return translate(refusal.said) + (f" {translate(refusal.fix)}" if refusal.fix else "")


def stop(words: str, code: int = EXIT_REFUSED) -> NoReturn:
    print(visible(words), file=sys.stderr)
    sys.exit(code)
