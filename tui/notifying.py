"""The process that sends a run's notices: `python -m finetty.tui.notifying RUN_FOLDER START`.

It is one beside the run's, so that whatever is sent holds up no training, and so that it is there to tell of a run
whose process was killed. `START` is the byte of the log from which on events are news.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from finetty.backend.messages import Refusal
from finetty.backend.runs import END_STATES, LIVE_STATES, EventLog, EventReader, Run
from finetty.tui.notices import Ways, notice_of, sent, ways

SECONDS_BETWEEN_LOOKS = 2.0
LEVELS = ("error", "warning")


def main() -> None:
    with suppress(Refusal):  # the run's folder was removed
        follow(Run.open(Path(sys.argv[1])), int(sys.argv[2]), ways())


def begin(run: Run) -> None:
    """Start the process for a run that has begun, where notices are set. What is set wrongly is noted in the log."""
    try:
        if not ways():
            return
        command = [sys.executable, "-m", "finetty.tui.notifying", str(run.path), str(run.events_path.stat().st_size)]
        nowhere = subprocess.DEVNULL
        subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)
    except Refusal as refusal:
        _note(run, refusal)
    except OSError:
        return


def follow(run: Run, start: int, to: Ways) -> None:
    """Send what becomes of a run, until it is over or its process is gone. Raises Refusal when its folder is."""
    reader = EventReader(run.events_path, start)
    alerted: set[str] = set()
    state = "loading"
    while state in LIVE_STATES:
        state = run.status().state
        while events := reader.read():
            for event in events:
                if _is_news(event, alerted):
                    _send(run, event, to)
        if state in LIVE_STATES:
            time.sleep(SECONDS_BETWEEN_LOOKS)
    if state not in END_STATES:
        _send(run, {"kind": "state", "state": state}, to)


def _is_news(event: Mapping[str, Any], alerted: set[str]) -> bool:
    """An end, or an alert that was not sent yet: a run that shrinks ten times is told of once."""
    if event["kind"] == "state":
        return event.get("state") in END_STATES
    code = str(event.get("code"))
    if event["kind"] != "alert" or event.get("level") not in LEVELS or code in alerted:
        return False
    alerted.add(code)
    return True


def _send(run: Run, event: Mapping[str, Any], to: Ways) -> None:
    for refusal in sent(to, notice_of(run, event)):
        _note(run, refusal)


def _note(run: Run, refusal: Refusal) -> None:
    with suppress(OSError):
        log = EventLog(run)
        log.append("note", code=refusal.said.id, message=str(refusal), said={"message": refusal.said.to_json()})
        log.close()


if __name__ == "__main__":
    main()
