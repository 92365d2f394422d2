"""The line between the holder of the terminal and its child: JSON lines up, and a pipe that closes when it dies."""

from __future__ import annotations

import contextlib
import os
from typing import Any, ClassVar

VARIABLE = "FINETTY_HOLDER"
"""Two descriptors, "talk,lifeline": the child's end to write to, and one that reads EOF once the holder is gone."""


class Holder:
    """The child's side. There is none where finetty runs without a holder."""

    _ours: ClassVar[Holder | None] = None

    def __init__(self, talk: int, lifeline: int) -> None:
        self._talk, self.lifeline = talk, lifeline

    @classmethod
    def ours(cls) -> Holder | None:
        """The holder of this process; its own children do not inherit it."""
        if VARIABLE in os.environ:
            cls._ours = cls(*map(int, os.environ.pop(VARIABLE).split(",")))
            for descriptor in (cls._ours._talk, cls._ours.lifeline):
                os.set_inheritable(descriptor, False)
        return cls._ours

    def tell(self, do: str, **values: Any) -> bool:
        """Ask the holder for something to be done; False when it is gone."""
        import json

        line = json.dumps({"do": do, **values}).encode() + b"\n"
        try:
            return os.write(self._talk, line) == len(line)
        except OSError:
            return False

    def leave(self) -> None:
        """This process needs no holder any more."""
        for descriptor in (self._talk, self.lifeline):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        Holder._ours = None


def let_go_in_child() -> None:
    """A forked data worker must not keep the line open after this process has died."""
    if Holder._ours:
        Holder._ours.leave()


os.register_at_fork(after_in_child=let_go_in_child)
