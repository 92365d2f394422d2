"""The process that trains, with a trainer that only steps: run directory, signals and terminal without torch.

    python stepping.py RUN_FOLDER [--plain] [--hold] ...

`--hold` puts the holder in front, as the installed program does.
"""

from __future__ import annotations

import os
import sys
import time
import types

from finetty.backend.messages import Refusal, message
from finetty.backend.runs import EventLog, Inbox, Run
from finetty.tui import launcher

REFUSED = message("test.refused", "There is nothing to step on.")


def train(run: Run, *, seconds_to_answer: float = 0) -> str:
    """Step until a command or the environment's number of steps ends it."""
    how = os.environ.get("STEPPING", "")
    if how == "refuse":
        raise Refusal(REFUSED())
    if how == "break":
        raise RuntimeError("the trainer broke")
    log = EventLog(run)
    inbox = Inbox(run, log)
    log.append("state", state="running")
    run.write_status(state="running")
    print("printed by a library")
    os.write(2, b"written to descriptor 2\n")
    began, state, step, last = time.monotonic(), "finished", 0, int(os.environ.get("STEPS", 10**9))
    while step < last:
        step += 1
        log.append("step", step=step, loss=1 / step, elapsed=time.monotonic() - began)
        print("a line of a library for every step")
        run.write_status(step=step)
        time.sleep(0.01)
        wishes = heard(inbox)
        if "pause" in wishes:
            run.write_status(state="paused")
            while not wishes & {"resume", "stop-and-save"}:
                time.sleep(0.01)
                wishes = heard(inbox)
            run.write_status(state="running")
        if "stop-and-save" in wishes:
            run.write_status(state="saving", step=step)
            time.sleep(float(os.environ.get("SAVING", 0)))
            state = "stopped"
            break
    log.append("state", state=state)
    run.write_status(state=state)
    return state


def heard(inbox: Inbox) -> set[str]:
    """The names of the commands that came in, each answered."""
    commands = inbox.take()
    for command in commands:
        inbox.answer(command, "done")
    return {command.name for command in commands}


def install() -> None:
    """Put this trainer in the real one's place, in this process."""
    stepping = types.SimpleNamespace(train=train, resume=train)
    sys.modules["finetty.backend.training"] = stepping  # type: ignore[assignment]
    ahead = types.SimpleNamespace(load_libraries=lambda **_how: None)
    sys.modules["finetty.backend.training.ahead"] = ahead  # type: ignore[assignment]
    import finetty.backend

    finetty.backend.training = stepping  # type: ignore[assignment]


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--hold"]
    if "--hold" in sys.argv:
        command = [sys.executable, __file__, *arguments]
        sys.exit(launcher.hold(lambda: os.execv(command[0], command)))
    install()
    sys.argv[1:] = arguments
    from finetty.tui.run import main as run_main

    run_main()


if __name__ == "__main__":
    main()
