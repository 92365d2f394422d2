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
    state, step, last = "finished", 0, int(os.environ.get("STEPS", 10**9))
    while step < last:
        step += 1
        log.append("step", step=step, loss=1 / step, elapsed=step / 100)
        run.write_status(step=step)
        time.sleep(0.01)
        if any(command.name == "stop-and-save" for command in inbox.take()):
            run.write_status(state="saving")
            time.sleep(float(os.environ.get("SAVING", 0)))
            state = "stopped"
            break
    log.append("state", state=state)
    run.write_status(state=state)
    return state


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--hold"]
    if "--hold" in sys.argv:
        command = [sys.executable, __file__, *arguments]
        sys.exit(launcher.hold(lambda: os.execv(command[0], command)))
    stepping = types.SimpleNamespace(train=train, resume=train)
    sys.modules["finetty.backend.training"] = stepping  # type: ignore[assignment]
    import finetty.backend

    finetty.backend.training = stepping  # type: ignore[assignment]
    sys.argv[1:] = arguments
    from finetty.tui.run import main as run_main

    run_main()


if __name__ == "__main__":
    main()
