"""Keeping order among runs: delete the highlighted one, put it away or bring it back, tag it, take it off the queue."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial

from textual import on, work
from textual.message import Message

from finetty.backend.messages import Refusal
from finetty.backend.runs import Run, refuse_alive, remove_run
from finetty.backend.runs.labels import archive, disk_use
from finetty.backend.runs.queue import take_out
from finetty.tui.errors import sentence
from finetty.tui.language import _
from finetty.tui.listing import Listed
from finetty.tui.run_lines import freed_line
from finetty.tui.screens.base import TranslatedScreen
from finetty.tui.screens.dialogs import Question
from finetty.tui.screens.tags import EditTags
from finetty.tui.text import size


class ToDelete(Message):
    """What would be free without the run: bytes as disk_use() counts them."""

    def __init__(self, run: Run, use: Mapping[str, int]) -> None:
        super().__init__()
        self.run, self.use = run, use


class Deleted(Message):
    """The run is gone, and how many bytes are free."""

    def __init__(self, run: Run, use: Mapping[str, int], freed: int) -> None:
        super().__init__()
        self.run, self.use, self.freed = run, use, freed


class NotDeleted(Message):
    """The run stays, and why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self.refusal = refusal


class RunKeeping(TranslatedScreen[None]):
    """Subclasses say which run is highlighted, and look again once something is different."""

    # mypy holds subclasses to it; Textual's own metaclass leaves no ABC that would when the app runs.
    @abstractmethod
    def highlighted(self) -> Listed | None: ...

    def look(self) -> None:
        """Read the runs again."""

    def tell(self, text: str, *, failed: bool = False) -> None:
        self.notify(text, severity="error" if failed else "information", markup=False)

    def action_delete(self) -> None:
        if chosen := self.highlighted():
            self._weigh_what_goes(chosen.run)

    @work(thread=True, exclusive=True, group="to delete")
    def _weigh_what_goes(self, run: Run) -> None:
        try:
            refuse_alive(run)
        except Refusal as refusal:
            self.post_message(NotDeleted(refusal))
        else:
            self.post_message(ToDelete(run, disk_use(run)))

    @on(ToDelete)
    def _ask(self, message: ToDelete) -> None:
        if self.app.screen is not self:
            return
        run, use = message.run, message.use

        def says() -> tuple[str, str, str]:
            text = _(
                "{size} become free: {checkpoints} of checkpoints, {output} of the result. The run's folder is deleted "
                "with all that is in it, and nothing outside of it. A run that is alive cannot be deleted."
            ).format(size=size(use["all"]), checkpoints=size(use["checkpoints"]), output=size(use["output"]))
            return _("Delete {run}?").format(run=run.id), text, _("Delete")

        self.app.push_screen(Question(says), partial(self._answered, message))

    def _answered(self, asked: ToDelete, yes: bool | None) -> None:
        if yes:
            self._delete(asked.run, asked.use)

    @work(thread=True, group="delete")
    def _delete(self, run: Run, use: Mapping[str, int]) -> None:
        try:
            Run.open(run.path)  # of a run that is gone the id might begin another's
            self.post_message(Deleted(run, use, remove_run(run.path.parent, run.id)))
        except Refusal as refusal:
            self.post_message(NotDeleted(refusal))

    @on(Deleted)
    def _say_what_is_free(self, message: Deleted) -> None:
        self.tell(freed_line(message.use, message.freed))
        self.look()

    @on(NotDeleted)
    def _say_why_not(self, message: NotDeleted) -> None:
        self.tell(sentence(message.refusal), failed=True)
        self.look()

    def action_put_away(self) -> None:
        """Put the run away, or bring it back."""
        chosen = self.highlighted()
        if chosen is None:
            return
        try:
            labels = archive(chosen.run, archived=not chosen.labels.archived)
        except Refusal as refusal:
            self.tell(sentence(refusal), failed=True)
            return
        said = _("{run} is put away; v shows it.") if labels.archived else _("{run} is in the lists again.")
        self.tell(said.format(run=chosen.run.id))
        self.look()

    def action_tags(self) -> None:
        if chosen := self.highlighted():
            self.app.push_screen(EditTags(chosen.run), lambda changed: self.look() if changed else None)

    def action_take_out(self) -> None:
        chosen = self.highlighted()
        if chosen is None:
            return
        try:
            taken = take_out(chosen.run)
        except OSError as error:
            self.tell(str(error.strerror), failed=True)
            return
        said = _("{run} waits no more.") if taken else _("{run} does not wait in the queue.")
        self.tell(said.format(run=chosen.run.id))
        self.look()
