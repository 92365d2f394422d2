"""The process that trains, begun before its run is known: off the screen it imports what it will need, and waits.

    python -m finetty.tui.warm [unsloth]

The holder starts it when the wizard asks, and either sends it its run or kills it. Nothing heavy is imported here: the
holder has this module too.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from finetty.tui.held import Held

if TYPE_CHECKING:
    from finetty.tui.held import Child, Order

VARIABLE = "FINETTY_WARM"
"""The descriptor on which the order comes."""
BEHIND = 10
"""How far its imports stand back behind everything else, as `nice` counts it."""


class Warm:
    """The holder's side: at most one such process."""

    def __init__(self) -> None:
        self._order: Order | None = None
        self._held: Held | None = None
        self._line = -1

    def hear(self, order: Order) -> None:
        """Begin one when the wizard asks for it; another in its place where it has to begin otherwise."""
        if order["do"] == "warm" and order != self._order:
            self.end()
            self._begin(order)

    def taken(self, order: Order) -> Held | None:
        """The process that waited, now that it has its run; None where there is none that can take it."""
        import json

        held = self._held
        if held is None or order["do"] != "run":
            self.end()
            return None
        try:
            os.write(self._line, json.dumps(order).encode() + b"\n")
        except OSError:  # it has died meanwhile
            self.end()
            return None
        os.close(self._line)
        self._held = self._order = None
        return held

    def end(self) -> None:
        """It is not wanted any more."""
        if self._held is not None:
            os.close(self._line)
            self._held.end()
        self._held = self._order = None

    def _begin(self, order: Order) -> None:
        heard, line = os.pipe()
        try:
            self._held = Held(_waiting(heard, order))
        except OSError:  # no room for one more process: the run will begin without
            os.close(line)
        else:
            self._order, self._line = order, line
        finally:
            os.close(heard)


def _waiting(heard: int, order: Order) -> Child:
    def become() -> None:
        set_environment(order)
        os.environ[VARIABLE] = str(heard)
        os.set_inheritable(heard, True)
        try:
            os.execv(sys.executable, [sys.executable, "-m", "finetty.tui.warm", *order["first"]])
        except OSError:
            os._exit(127)

    return become


def set_environment(order: Order) -> None:
    """What the order says of the environment; None is not said any more."""
    for name, value in order.get("environment", {}).items():
        os.environ.pop(name, None)
        os.environ |= {name: value} if value is not None else {}


def main() -> None:
    """Import, wait, and become the run's process; ends with the holder, or with its word that it is not wanted."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    heard = int(os.environ.pop(VARIABLE))
    screen = _off_screen()
    ahead = Ahead(unsloth="unsloth" in sys.argv[1:])
    order = _order_from(heard)
    if order is None:
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the screen's own handler is in
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _on_screen(screen)
    set_environment(order)
    if ahead.error is not None:  # an import that broke off leaves its libraries in pieces: begin afresh
        from finetty.tui.launcher import run_child

        run_child(order["run"], *order.get("options", ()))()
    sys.argv[1:] = [order["run"], *order.get("options", ())]
    from finetty.tui.run import main as run_main

    run_main(ahead.ready)


class Ahead:
    """Imports everything that training loads, at low priority, in a thread."""

    def __init__(self, *, unsloth: bool) -> None:
        from threading import Thread

        self.error: BaseException | None = None
        self._thread = Thread(target=self._import, args=(unsloth,), name="imports", daemon=True)
        self._thread.start()

    def _import(self, unsloth: bool) -> None:
        with suppress(OSError):  # Linux gives each thread a priority of its own
            os.setpriority(os.PRIO_PROCESS, 0, BEHIND)
        try:
            from finetty.backend.training.ahead import load_libraries

            load_libraries(unsloth=unsloth)
        except BaseException as error:
            self.error = error

    def ready(self) -> None:
        """Wait until all is imported. Raises what an import raised, which a second attempt might hide."""
        self._thread.join()
        if self.error is not None:
            raise self.error


def _order_from(heard: int) -> dict[str, Any] | None:
    import json

    said = b""
    while not said.endswith(b"\n"):
        more = os.read(heard, 1 << 16)
        if not more:
            return None
        said += more
    os.close(heard)
    return dict(json.loads(said))


def _off_screen() -> list[int]:
    """Put the terminal's descriptors aside, and nothing in their place."""
    aside = [os.dup(descriptor) for descriptor in (0, 1, 2)]
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    return aside


def _on_screen(aside: list[int]) -> None:
    for descriptor, kept in enumerate(aside):
        os.dup2(kept, descriptor)
        os.close(kept)


if __name__ == "__main__":
    main()
