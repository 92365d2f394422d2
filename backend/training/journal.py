"""What a run says of itself while it trains: events and status, written together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from finetty.backend.messages import Message
from finetty.backend.runs import EventLog, Run

AlertLevel = Literal["error", "warning", "note"]


class Journal:
    """The run directory's pen. Everything that a viewer learns of a run goes through here."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.log = EventLog(run)
        self.now = run.status().state

    def state(self, name: str, **values: Any) -> None:
        """The run is now in this state; `values` go into the event alone."""
        self.now = name
        self.log.append("state", state=name, **values)
        self.run.write_status(state=name)

    def step(self, step: int, **values: Any) -> None:
        """One optimizer step was taken."""
        self.log.append("step", step=step, **values)
        self.run.write_status(step=step)

    def note(self, said: Message, **values: Any) -> None:
        """Something worth knowing that asks for nothing; `values` are its numbers, for whoever draws them."""
        self.log.append("note", code=said.id, message=said.text, said={"message": said.to_json()}, **values)

    def alert(
        self,
        level: AlertLevel,
        said: Message,
        advice: Message | None = None,
        *,
        option: str | None = None,
        choices: Sequence[str] = (),
    ) -> None:
        """Something a person should know; the event carries English text, and id and values for translation.

        `option` is the recipe's option at fault, where there is one; `choices` are the commands that the run waits for.
        """
        self.log.append(
            "alert",
            level=level,
            code=said.id,
            message=said.text,
            advice=advice.text if advice else None,
            option=option,
            choices=list(choices),
            said={"message": said.to_json(), "advice": advice.to_json() if advice else None},
        )
