"""What a run asks where it cannot go on by itself: memory ran out, and a person says what becomes of it."""

from __future__ import annotations

from finetty.tui.language import _, translate
from finetty.tui.screens.choose import Asked, Choice, Choose
from finetty.tui.story import Alert
from finetty.tui.text import count, visible
from finetty.tui.widgets.figures import clock_time


class RunAsks(Choose):
    """Returns the command that answers, or None: the run goes on waiting. `asked_at` is its step, `now` the hour."""

    uninvited = True

    def __init__(self, asked: Alert, asked_at: int, now: float) -> None:
        super().__init__(self._says)
        self.asked, self.asked_at, self.now = asked, asked_at, now

    def _says(self) -> Asked:
        known = self._choices()
        choices = [known[name] for name in self.asked.choices if name in known]
        return _("Memory ran out: how shall it go on?"), self._account(), choices

    def keys(self) -> str:
        return _("A letter marks, Enter takes what is marked. Esc lets the run wait; a comes back here.")

    def _account(self) -> str:
        lines = [visible(translate(self.asked.message))]
        values = {"step": count(self.asked_at)}
        if self.asked.until is not None:
            values["time"] = clock_time(self.asked.until, self.now)
            lines.append(_("It is held at step {step} and waits until {time} for an answer.").format(**values))
        lines.append(
            _("Unanswered, it keeps what it has learned and ends.") if self.asked_at else _("Unanswered, it ends.")
        )
        return "\n".join(lines)

    def _choices(self) -> dict[str, Choice]:
        rows = self.asked.rows
        fewer = (
            _("Go on with fewer rows at once") if rows is None else _("Go on, {rows} rows at once").format(rows=rows)
        )
        same = _("learns the same, a little slower")
        return {
            "shrink": Choice("shrink", "g", fewer, same),
            "stop-and-save": Choice("stop-and-save", "s", _("Stop and save"), _("end the run, keep what was learned")),
            "stop": Choice("stop", "x", _("Stop, save nothing"), _("keep its last checkpoint only")),
        }
