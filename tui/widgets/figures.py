"""The numbers of a run in words: which there are, how each is written, and how they stand in one or two columns."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len
from textual.content import Content
from textual.geometry import Region
from textual.widgets import Static

from finetty.tui.language import _
from finetty.tui.plain import state_words
from finetty.tui.text import ascii_only as ascii_only
from finetty.tui.text import count, duration, loss, size, visible
from finetty.tui.watch import View

UNKNOWN = "N/A"
"""What stands for a reading that is not to be had."""
LOST_TONE = "bold $text-error"
TWO_COLUMNS = 72
"""Cells of width from which on the figures stand in two columns."""

SIGNS = {
    "queued": ("○", "o"),
    "loading": ("◌", ":"),
    "preflight": ("◇", "?"),
    "running": ("▶", ">"),
    "paused": ("‖", "="),
    "saving": ("▼", "v"),
    "finished": ("✓", "+"),
    "failed": ("✗", "x"),
    "stopped": ("■", "#"),
    "crashed": ("✗", "!"),
}
TONES = {"paused": "$text-warning", "finished": "$text-success", "failed": "$text-error", "crashed": "$text-error"}


@dataclass(frozen=True)
class Figure:
    """`note` stands behind the value, in a quieter voice; `tone` is a style of the value."""

    label: str
    value: str
    note: str = ""
    tone: str = ""


class Quiet(Static):
    """Text of which only the lines that are different are repainted; by a wire, all of it is dear."""

    def __init__(self, widget_id: str) -> None:
        super().__init__("", id=widget_id, markup=False)
        self._shown = Content("")

    def show(self, content: Content) -> None:
        before, self._shown = self._shown.split("\n"), content
        lines = content.split("\n")
        changed = [
            Region(span[0], y, span[1], 1)
            for y, (old, new) in enumerate(zip(before, lines, strict=False))
            if (span := difference(old, new))
        ]
        if len(before) != len(lines) or self.styles.is_auto_height:
            if changed or len(before) != len(lines):
                self.refresh(layout=True)
        elif changed:
            self.refresh(*changed)

    def render(self) -> Content:
        return self._shown


def difference(old: Content, new: Content) -> tuple[int, int] | None:
    """The first cell in which two lines are different, and how many cells it is to the last; None where they agree."""
    if old.is_same(new):
        return None
    before, after = _cells(old), _cells(new)
    length = max(len(before), len(after))
    before, after = ([*cells, *[(" ", ())] * (length - len(cells))] for cells in (before, after))
    changed = [x for x, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    return (changed[0], changed[-1] - changed[0] + 1) if changed else None


def _cells(line: Content) -> list[tuple[str, tuple[str, ...]]]:
    """Each cell with its styles; the second cell of a wide character is empty."""
    styles: list[tuple[str, ...]] = [()] * len(line.plain)
    for start, end, style in line.spans:
        for index in range(start, end):
            styles[index] += (str(style),)
    cells: list[tuple[str, tuple[str, ...]]] = []
    for character, own in zip(line.plain, styles, strict=True):
        cells += [(character, own), *[("", own)] * (cell_len(character) - 1)]
    return cells


class FiguresBox(Quiet):
    """The figures, in two columns where there is room."""

    def show_view(self, view: View) -> None:
        self.show(laid_out(figures(view), *self.size))


def state_sign(state: str) -> str:
    return SIGNS.get(state, ("?", "?"))[ascii_only()]


def figures(view: View) -> list[tuple[Figure, ...]]:
    """Every figure that the dashboard has, in the order of reading and in groups; two groups a column."""
    now = view.figures
    return [
        (_loss(view), _held_out(view), _best(view)),
        (
            Figure(_("learning rate"), _scientific(now.learning_rate)),
            Figure(_("gradient norm"), "-" if now.grad_norm is None else f"{now.grad_norm:.3g}"),
            _speed(view),
            *_host(view),
        ),
        (_elapsed(view), _left(view), _checkpoint(view)),
        (
            *_memory(view),
            *_gpus(view),
            Figure(_("tokens seen"), count(now.tokens) if now.tokens is not None else "-"),
            *_cost(view),
        ),
    ]


def laid_out(groups: list[tuple[Figure, ...]], width: int, height: int) -> Content:
    """One figure a line, with a gap between groups where there is height for it; two columns where there is width."""
    if width >= TWO_COLUMNS:
        half = width // 2
        left, right = _column([*groups[0], *groups[1]], half - 1), _column([*groups[2], *groups[3]], width - half)
        both = zip_longest(left, right, fillvalue=Content(""))
        return Content("\n").join([Content.assemble(one.pad_right(half - one.cell_length), two) for one, two in both])
    lines = _column([figure for group in groups for figure in group], width)
    gaps = height >= len(lines) + len(groups) - 1
    parts: list[Content] = []
    for group in groups:
        parts += [Content("")] if parts and gaps else []
        parts, lines = parts + lines[: len(group)], lines[len(group) :]
    return Content("\n").join(parts)


def state_line(view: View, width: int, said: str) -> Content:
    """State, name, and at the right what became of the last command, or how long nothing was heard."""
    sign, words = state_sign(view.state), state_words(view.state)
    state = Content.styled(f"{sign} {words}", f"bold {TONES.get(view.state, '$text-accent')}")
    right = Content.styled(said, "$text-accent") if said else _waiting(view)
    known_as = visible(view.status.name or view.run_id).replace("\n", " ")
    name = Content.styled(f"  {known_as}", "$foreground-muted")
    room = width - state.cell_length - right.cell_length - 2
    return Content.assemble(state, _fit(name, max(0, room)), "  " if right.plain else "", right)


def progress_line(view: View, width: int) -> Content:
    """A bar as far as the run is, with step, share and the end as a clock time."""
    words = progress_words(view)
    room = max(0, width - Content(words).cell_length - 2)
    full, empty = ("#", "-") if ascii_only() else ("━", "─")
    done = round(room * (view.share or 0.0))
    return Content.assemble(
        (full * done, "$accent"), (empty * (room - done), "$foreground-muted 50%"), "  ", (words, "bold")
    )


def progress_words(view: View) -> str:
    if view.total is None:
        return _("step {step}").format(step=count(view.step))
    parts = [
        _("step {step} of {total}").format(step=count(view.step), total=count(view.total)),
        f"{view.share or 0:.0%}",
    ]
    if view.left is not None and view.state == "running":
        parts.append(_("{time} left").format(time=duration(view.left)))
    return (" - " if ascii_only() else " · ").join(parts)


def clock_time(moment: float, now: float) -> str:
    """The hour of a moment, with the day where it is not today."""
    there, here = time.localtime(moment), time.localtime(now)
    same_day = (there.tm_year, there.tm_yday) == (here.tm_year, here.tm_yday)
    return time.strftime("%H:%M" if same_day else "%m-%d %H:%M", there)


def _loss(view: View) -> Figure:
    now = view.figures
    mean = _("smoothed {loss}").format(loss=loss(now.smoothed)) if now.smoothed is not None else ""
    if now.loss_broken:
        return Figure(_("loss"), _("not a number"), mean, "bold $text-error")
    return Figure(_("loss"), loss(now.loss), mean, "bold")


def _held_out(view: View) -> Figure:
    now = view.figures
    first = _("at first {loss}").format(loss=loss(now.held_out_first)) if now.held_out_first is not None else ""
    return Figure(_("held-out loss"), loss(now.held_out), first, "bold")


def _best(view: View) -> Figure:
    best = view.figures.held_out_best
    if best is None:
        return Figure(_("best held-out"), "-")
    return Figure(_("best held-out"), loss(best[0]), _("step {step}").format(step=count(best[1])))


def _speed(view: View) -> Figure:
    speed = view.figures.tokens_per_second
    return Figure(_("speed"), "-" if speed is None else _("{count} tokens/s").format(count=f"{speed:,.0f}"))


def _elapsed(view: View) -> Figure:
    pace = view.figures.pace
    spent = "-" if view.elapsed is None else duration(view.elapsed)
    return Figure(_("elapsed"), spent, "" if pace is None else _("{time} a step").format(time=f"{pace:.3g}s"))


def _left(view: View) -> Figure:
    if view.over:
        return Figure(_("ended"), "-" if not view.figures.ended else clock_time(view.figures.ended, view.now))
    if view.left is None:
        return Figure(_("time left"), "-")
    if view.state == "paused":
        return Figure(_("time left"), duration(view.left), _("once it goes on"))
    at = clock_time(view.now + view.left, view.now)
    return Figure(_("time left"), duration(view.left), _("done at {time}").format(time=at))


def _memory(view: View) -> tuple[Figure, Figure]:
    """What is in use, and the peak so far beside the one that the plan foresaw."""
    memory, about = view.memory, "~" if ascii_only() else "≈"
    foreseen = "" if memory.predicted is None else f"{about} {size(memory.predicted)}"
    return (
        Figure(_("memory"), "-" if memory.used is None else size(memory.used)),
        Figure(
            _("memory peak"),
            "-" if memory.peak is None else size(memory.peak),
            _("foreseen {size}").format(size=foreseen) if foreseen else "",
        ),
    )


def _gpus(view: View) -> list[Figure]:
    """How much of the time the cards compute, and behind it their power and the heat of the hottest."""
    gpus = [gpu for gpu in view.gpus if not gpu.lost]
    if not view.gpus or view.over:
        return []
    name = _("card") if len(view.gpus) == 1 else _("{count} cards").format(count=len(view.gpus))
    use = [gpu.utilisation for gpu in gpus if gpu.utilisation is not None]
    power = [gpu.power for gpu in gpus if gpu.power is not None]
    heat = [gpu.temperature for gpu in gpus if gpu.temperature is not None]
    notes = [f"{sum(power):.0f} W"] * bool(power) + [degrees(max(heat, default=0))] * bool(heat)
    if len(gpus) < len(view.gpus):
        return [Figure(name, _("{count} lost").format(count=len(view.gpus) - len(gpus)), ", ".join(notes), LOST_TONE)]
    spread = "-".join(dict.fromkeys(f"{share:.0f}" for share in (min(use, default=0), max(use, default=0))))
    return [Figure(name, f"{spread}%" if use else UNKNOWN, ", ".join(notes))]


def _host(view: View) -> list[Figure]:
    """How busy the machine is, and how much of its memory nobody has."""
    if view.host is None:
        return []
    busy = "-" if view.host.busy is None else f"{view.host.busy:.0%}"
    return [Figure(_("processors"), busy, _("{size} RAM free").format(size=size(view.host.free)))]


def _cost(view: View) -> list[Figure]:
    if view.cost is None:
        return []
    about = "~" if ascii_only() else "≈"
    in_all = "" if view.cost_in_all is None else _("{cost} at the end").format(cost=f"{about} {view.cost_in_all}")
    return [Figure(_("cost"), visible(view.cost), visible(in_all))]


def degrees(celsius: float) -> str:
    return f"{celsius:.0f}{degree_sign()}"


def degree_sign() -> str:
    return " C" if ascii_only() else "°C"


def _checkpoint(view: View) -> Figure:
    at, step = view.figures.checkpoint_time, view.figures.checkpoint_step
    if at is None:
        return Figure(_("checkpoint"), _("none yet"))
    behind = "" if step is None else _("step {step}").format(step=count(step))
    if view.over:
        return Figure(_("checkpoint"), behind or clock_time(at, view.now))
    return Figure(_("checkpoint"), _("{time} ago").format(time=duration(view.now - at)), behind)


def _waiting(view: View) -> Content:
    """What it waits for: an answer, or an event that does not come."""
    if view.question:
        return Content.styled(_("it asks: a answers"), "bold $text-warning")
    if view.unread > 0.02:
        return Content.styled(
            _("reading its history: {share}").format(share=f"{1 - view.unread:.0%}"), "$foreground-muted"
        )
    if view.silence is None:
        return _safety(view)
    return Content.styled(_("no event for {time}").format(time=duration(view.silence)), "bold $text-warning")


def _safety(view: View) -> Content:
    """Whether the terminal may go while it runs, and the machine once it is over, as far as that was looked at."""
    if view.over and view.lacking is not None:
        safe, words = not view.lacking, (_("safe to shut down"), _unsafe(view))
    elif not view.over and view.figures.threats is not None and view.state != "queued":
        safe, words = not view.figures.threats, (_("safe to disconnect"), _("not safe to disconnect: see Alerts"))
    else:
        return Content("")
    return Content.styled(words[0], "$text-success") if safe else Content.styled(words[1], "bold $text-warning")


def _unsafe(view: View) -> str:
    if view.figures.saved:
        return _("not safe to shut down")
    untold = any(found.level == "note" for found in view.lacking or ())
    return _("result not checked") if untold else _("no result on the disk")


def _column(shown: list[Figure], width: int) -> list[Content]:
    longest = max(Content(figure.label).cell_length for figure in shown) + 2
    return [_line(figure, longest).truncate(max(1, width), ellipsis=True) for figure in shown]


def _line(figure: Figure, longest: int) -> Content:
    label = Content.styled(figure.label, "$foreground-muted")
    return Content.assemble(
        label.pad_right(longest - label.cell_length),
        (figure.value, figure.tone),
        (f"  {figure.note}" if figure.note else "", "$foreground-muted"),
    )


def _fit(content: Content, width: int) -> Content:
    cut = content.truncate(width, ellipsis=True) if width else Content("")
    return cut.pad_right(width - cut.cell_length)


def _scientific(value: float | None) -> str:
    if value is None:
        return "-"
    return "0" if value == 0 else f"{value:.2e}".replace("e-0", "e-")
