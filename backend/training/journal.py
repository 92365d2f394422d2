"""What a run says of itself while it trains: events and status, written together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from finetty.backend.messages import Finding, Message
from finetty.backend.runs import EventLog, Run

AlertLevel = Literal["error", "warning", "note"]


class Journal:
    """The run directory's pen. Everything that a viewer learns of a run goes through here."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.log = EventLog(run)
        self.now = run.status().state

    def status(self, **values: Any) -> None:
        """What status.json says beside the state."""
        self.run.write_status(**values)

    def state(self, name: str, **values: Any) -> None:
        """The run is now in this state; `values` go into the event alone."""
        self.now = name
        self.log.append("state", state=name, **values)
        self.run.write_status(state=name)

    def step(self, step: int, **values: Any) -> None:
        """One optimizer step was taken."""
        self.log.append("step", step=step, **values)
        self.run.write_status(step=step, wait=False)

    def session(self, threats: Sequence[Finding]) -> None:
        """What would end the run although its terminal may go; nothing where disconnecting is safe."""
        self.log.append("session", threats=[found.to_json() for found in threats])

    def saved(self, step: int, folder: Path) -> None:
        """The result is in its place, written through to the disk: its files with their sizes in bytes."""
        files = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
        self.log.append("output", step=step, path=folder.name, files=dict(sorted(files.items())))
        self.log.sync()

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
        **values: Any,
    ) -> None:
        """Something a person should know; the event carries English text, and id and values for translation.

        `option` is the recipe's option at fault, where there is one; `choices` are the commands that the run waits for;
        `values` are its numbers, for whoever draws them.
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
            **values,
        )


class SilentJournal(Journal):
    """For the processes of a run that write nothing: the first one's journal says it all."""

    def __init__(self, run: Run) -> None:
        self.run, self.now = run, run.status().state
        self.log: Any = _Nowhere()

    def status(self, **values: Any) -> None:
        pass

    def state(self, name: str, **values: Any) -> None:
        self.now = name

    def step(self, step: int, **values: Any) -> None:
        pass


class _Nowhere:
    def append(self, kind: str, **values: Any) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass
