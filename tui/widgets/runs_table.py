"""The table of runs: a row each, drawn again only where something is different."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from textual.content import Content
from textual.widgets import DataTable

from finetty.tui.language import _
from finetty.tui.listing import Listed
from finetty.tui.plain import state_words
from finetty.tui.text import count, size, visible
from finetty.tui.widgets.figures import TONES, ascii_only, clock_time, state_sign


class RunsTable(DataTable[Content]):
    """Rows have the runs' ids as their keys. The highlight stays on its run, else at its place."""

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id, cursor_type="row", zebra_stripes=False)
        self.marked: Container[str] | None = None
        """The ids of the runs that are marked; None where marks take no room."""
        self.disk: Mapping[str, int] = {}
        """The bytes that a run takes, where they are known yet."""
        self.now = 0.0

    def show(self, runs: Sequence[Listed]) -> None:
        """The whole table again."""
        chosen, place = self.chosen(), self.cursor_row
        self.clear(columns=True)
        rows = [(listed.run.id, self._cells(listed)) for listed in runs]
        for index, (key, label) in enumerate(_columns()):
            width = max([Content(label).cell_length, *(cells[index].cell_length for _id, cells in rows)])
            self.add_column(label, key=key, width=width)
        for run_id, cells in rows:
            self.add_row(*cells, key=run_id)
        self.move_cursor(row=min(place, len(rows) - 1))
        self.highlight(chosen)

    def highlight(self, run_id: str | None) -> None:
        """Go to this run, where it is listed."""
        if run_id and run_id in self.rows:
            self.move_cursor(row=self.get_row_index(run_id))

    def renew(self, runs: Sequence[Listed]) -> bool:
        """Draw what is different of these rows; False where a column has become too narrow."""
        widths = {str(key.value): column.width for key, column in self.columns.items()}
        for listed in runs:
            for (key, _label), cell in zip(_columns(), self._cells(listed), strict=True):
                if cell.cell_length > widths[key]:
                    return False
                if not self.get_cell(listed.run.id, key).is_same(cell):
                    self.update_cell(listed.run.id, key, cell)
        return True

    def chosen(self) -> str | None:
        """The id of the highlighted run."""
        if not self.row_count or not self.is_valid_row_index(self.cursor_row):
            return None
        return str(self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value)

    def _cells(self, listed: Listed) -> list[Content]:
        status, run_id = listed.status, listed.run.id
        place = f" {listed.place}" if listed.place else ""
        state = f"{state_sign(status.state)} {state_words(status.state)}{place}"
        total = "?" if status.total is None else count(status.total)
        began = "-" if status.started is None else clock_time(status.started, self.now)
        return [
            Content(self._mark(run_id) + run_id),
            Content.styled(state, TONES.get(status.state, "")),
            Content(f"{count(status.step)}/{total}"),
            Content(began),
            Content(size(self.disk[run_id]) if run_id in self.disk else ""),
            _name(listed),
        ]

    def _mark(self, run_id: str) -> str:
        if self.marked is None:
            return ""
        sign = "*" if ascii_only() else "✓"
        return f"{sign} " if run_id in self.marked else "  "


def _columns() -> list[tuple[str, str]]:
    return [
        ("id", _("Run")),
        ("state", _("State")),
        ("step", _("Step")),
        ("started", _("Began")),
        ("disk", _("Disk")),
        ("name", _("Name")),
    ]


def _name(listed: Listed) -> Content:
    """The tags come first: a name repeats what the id says, and has no room on a narrow screen."""
    put_away = [_("(archived)")] if listed.labels.archived else []
    words = [*put_away, *(f"#{tag}" for tag in listed.labels.tags), listed.status.name]
    return Content.styled(visible(" ".join(words)).replace("\n", " "), "$foreground-muted" if put_away else "")
