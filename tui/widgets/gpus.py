"""The cards of the machine that trains: use, memory, power against its cap, heat, and who else computes on them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.content import Content

from finetty.tui.gpu_words import process_words, slowed_words
from finetty.tui.language import _, plural
from finetty.tui.story import Gpu
from finetty.tui.text import duration, size, visible
from finetty.tui.widgets.figures import UNKNOWN, Quiet, ascii_only, degree_sign, degrees
from finetty.tui.widgets.panel import Panel

SECONDS_OLD = 30.0
"""Age of a reading from which on it is said."""
BAR = 8
NAME = 16
HOT = 83.0
"""Degrees Celsius from which on most cards slow down."""


class GpusPanel(Panel):
    def __init__(self) -> None:
        super().__init__("gpus")
        self._gpus: Sequence[Gpu] = ()
        self._now = 0.0
        self._over = False

    def compose(self) -> ComposeResult:
        yield Quiet("gpu-lines")

    def show(self, gpus: Sequence[Gpu], now: float, *, over: bool) -> None:
        """A line for each card, and one that says why something is missing."""
        self._gpus, self._now, self._over = gpus, now, over
        self._fit()

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        width = self.scrollable_content_region.width
        if not width:
            return
        lines = [in_width(gpu_parts(gpu, self._now, over=self._over, width=width), width) for gpu in self._gpus]
        if any(_has_gaps(gpu) for gpu in self._gpus):
            lines.append(Content.styled(_gaps_words(), "$foreground-muted"))
        self.query_one("#gpu-lines", Quiet).show(Content("\n").join(lines))


def gpu_parts(gpu: Gpu, now: float, *, over: bool, width: int) -> list[Content]:
    """`0 RTX 4090  ▮▮▮▮▮▮▮▯  97%  20.0 of 24.0 GB  312 of 450 W  64°C  slowed by heat  1 other process (1.0 GB)`."""
    name = visible(gpu.name).replace("\n", " ")[-NAME:].strip()
    parts = [Content.assemble((f"{gpu.index} ", "bold"), name.ljust(NAME))]
    if gpu.lost:
        parts.append(Content.styled(_("N/A: it does not answer any more"), "bold $text-error"))
        return parts
    parts += [_use(gpu), _memory(gpu), _power(gpu), _heat(gpu), _slowed(gpu), _others(gpu, width - 2)]
    if not over and now - gpu.time > SECONDS_OLD:
        parts.append(Content.styled(_("{time} ago").format(time=duration(now - gpu.time)), "$text-warning"))
    return [part for part in parts if part.plain]


def in_width(parts: Sequence[Content], width: int) -> Content:
    """The parts in a line, or in several of which the later ones stand in a little."""
    lines = [parts[0]]
    for part in parts[1:]:
        if lines[-1].cell_length + 2 + part.cell_length <= width:
            lines[-1] = Content.assemble(lines[-1], "  ", part)
        else:
            lines.append(Content.assemble("  ", part))
    return Content("\n").join(lines)


def _use(gpu: Gpu) -> Content:
    if gpu.utilisation is None:
        return Content.styled(f"{UNKNOWN:>{BAR + 6}}", "$foreground-muted")
    full, empty = ("#", "-") if ascii_only() else ("▮", "▯")
    done = round(BAR * min(100.0, max(0.0, gpu.utilisation)) / 100)
    return Content.assemble(
        (full * done, "$accent"), (empty * (BAR - done), "$foreground-muted 50%"), f"  {gpu.utilisation:>3.0f}%"
    )


def _memory(gpu: Gpu) -> Content:
    used, total = (UNKNOWN if number is None else size(number) for number in (gpu.used, gpu.total))
    unit = total.rpartition(" ")[2]
    return Content(_("{used} of {total}").format(used=used.removesuffix(f" {unit}"), total=total))


def _power(gpu: Gpu) -> Content:
    if gpu.power is None:
        return Content.styled(f"{UNKNOWN} W", "$foreground-muted")
    if gpu.power_cap is None:
        return Content(f"{gpu.power:.0f} W")
    return Content(_("{used} of {total}").format(used=f"{gpu.power:.0f}", total=f"{gpu.power_cap:.0f} W"))


def _heat(gpu: Gpu) -> Content:
    if gpu.temperature is None:
        return Content.styled(f"{UNKNOWN} {degree_sign()}", "$foreground-muted")
    return Content.styled(degrees(gpu.temperature), "bold $text-warning" if gpu.temperature >= HOT else "")


def _slowed(gpu: Gpu) -> Content:
    """A card at its power cap works as it should; heat, a power brake or the hardware are worth a look."""
    words = slowed_words()
    reasons = gpu.throttling or ()
    worry = [words.get(reason, visible(reason)) for reason in reasons if reason != "power"]
    if worry:
        return Content.styled(", ".join(worry), "bold $text-warning")
    return Content.styled(words["power"] if reasons else "", "$foreground-muted")


def _others(gpu: Gpu, width: int) -> Content:
    """Each by user and command where that fits in a line, else how many."""
    if not gpu.others:
        return Content("")
    named = Content(", ".join(process_words(one.pid, one.user, one.command, one.used) for one in gpu.others))
    if all(one.user for one in gpu.others) and named.cell_length <= width:
        return named.stylize("$text-warning")
    used = [one.used for one in gpu.others if one.used is not None]
    words = plural("{count} other process", "{count} other processes", len(gpu.others))
    return Content.styled(f"{words} ({size(sum(used))})" if used else words, "$text-warning")


def _has_gaps(gpu: Gpu) -> bool:
    said = (gpu.used, gpu.utilisation, gpu.power, gpu.temperature)
    return not gpu.lost and None in said


def _gaps_words() -> str:
    return _("N/A: this card, its driver or this container does not say.")
