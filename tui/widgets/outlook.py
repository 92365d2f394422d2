"""What the run would take and what is wrong with it: the panel that stands beside every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from finetty.backend.messages import Finding, Message
from finetty.backend.planning.plan import Memory, Plan
from finetty.tui.guide import word
from finetty.tui.language import _, plural, translate
from finetty.tui.reading import Fault
from finetty.tui.text import count, duration, short_count, size, visible
from finetty.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from finetty.backend.memory import MemoryPrediction

FILLS = "█▓▒░"
COLOURS = ("$accent", "$primary", "$success", "$warning", "$secondary")
SIGNS = {"error": "✗", "warning": "!", "note": "·"}
STYLES = {"error": "$text-error", "warning": "$text-warning", "note": "$muted"}


class Outlook(VerticalScroll, can_focus=False):
    """Memory against what is free, verdict in words, findings, steps and time."""

    DEFAULT_CSS = """
    Outlook { width: 28; height: 1fr; padding: 0 1; border-left: solid $panel-lighten-2; scrollbar-size-vertical: 1; }
    Outlook > Static { width: 1fr; height: auto; }
    """

    plan: Plan | None = None
    findings: Sequence[Finding] = ()
    reading = False
    fetching: Message | None = None
    kept = False

    def compose(self) -> ComposeResult:
        yield Prose("", id="outlook")

    def show(
        self,
        plan: Plan | None,
        findings: Sequence[Finding],
        *,
        reading: bool,
        fetching: Message | None = None,
        kept: bool = False,
    ) -> None:
        """`kept`: whether other settings are kept, to be compared with these."""
        self.plan, self.findings, self.reading, self.fetching, self.kept = plan, findings, reading, fetching, kept
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        plan = self.plan
        width = max(12, self.scrollable_content_region.width - 1)
        parts = (
            [memory_lines(plan.memory, width), fit_hint(plan.memory)]
            if plan
            else [_heading(_("Memory")), Content(_("not known yet"))]
        )
        if self.fetching is not None:
            parts.append(Content.styled("▼ " + visible(translate(self.fetching)), "$text-accent"))
        if self.reading:
            parts.append(Content.styled(_("reading …"), "$muted"))
        if self.kept:
            parts.append(Content.styled(_("A is kept: F5 compares"), "$text-accent"))
        parts += finding_lines(self.findings)
        if plan:
            parts.append(cost_lines(plan))
            parts.append(legend_lines(plan.memory))
        for place in self.query("#outlook").results(Prose):
            place.say(Content("\n").join(part for part in parts if part.plain))


def memory_lines(memory: Memory, width: int) -> Content:
    """The bar, the sum against what is free, and the verdict in words."""
    prediction = memory.exact or memory.live
    if prediction is None:
        return Content("\n").join([_heading(_("Memory")), Content(verdict_words(memory))])
    free = memory.device.free if memory.device else None
    sign = "=" if memory.exact else "≈"
    total = _("{sign} {needed} of {free} free").format(sign=sign, needed=size(prediction.process), free=size(free))
    return Content("\n").join(
        [
            _heading(_("Memory")),
            bar(whole(prediction), free, width),
            Content(total),
            Content.styled(verdict_words(memory), VERDICT_STYLES[memory.verdict]),
        ]
    )


def fit_hint(memory: Memory) -> Content:
    """The key that makes it fit, where it does not."""
    if memory.verdict not in ("tight", "over"):
        return Content("")
    return Content.styled(_("F3 makes it fit"), "bold $text-accent")


def whole(prediction: MemoryPrediction) -> dict[str, int]:
    """The parts, and what the allocator holds beyond them: together what the process takes."""
    held = prediction.process - sum(prediction.components.values())
    return {**prediction.components, "held": max(0, held)}


def bar(parts_needed: Mapping[str, int], free: int | None, width: int) -> Content:
    """`width` cells for the larger of what is needed and what is free; where memory ends before the need, a ┃."""
    needed = sum(parts_needed.values())
    scale = max(needed, free or 0, 1)
    parts: list[Content] = []
    filled = taken = 0
    for index, taken_bytes in enumerate(parts_needed.values()):
        taken += taken_bytes
        cells = min(width, round(taken * width / scale)) - filled
        parts.append(Content.styled(FILLS[index % len(FILLS)] * cells, COLOURS[index % len(COLOURS)]))
        filled += cells
    parts.append(Content.styled("·" * (width - filled), "$muted"))
    line = Content("").join(parts)
    if free is None or needed <= free:
        return line
    end = min(width - 1, round(free * width / scale))
    return Content.assemble(line[:end], ("┃", "bold $text-error"), line[end + 1 :])


def legend_lines(memory: Memory) -> Content:
    prediction = memory.exact or memory.live
    if prediction is None:
        return Content("")
    lines = []
    for index, (name, needed) in enumerate(whole(prediction).items()):
        if needed:
            fill = Content.styled(FILLS[index % len(FILLS)], COLOURS[index % len(COLOURS)])
            lines.append(Content.assemble(fill, f" {_(word(name))} ", (size(needed), "$muted")))
    return Content("\n").join(lines)


def finding_lines(findings: Sequence[Finding], *, fixes: bool = True) -> list[Content]:
    """Each finding with its sign; errors first, and what mends it."""
    order = ("error", "warning", "note")
    return [_finding(found, fixes) for found in sorted(findings, key=lambda found: order.index(found.level))]


def _finding(found: Finding, fixes: bool) -> Content:
    place = f"{found.place}: " if isinstance(found, Fault) and found.place else ""
    sentence = visible(place + translate(found.message))
    said = Content.styled(f"{SIGNS[found.level]} {sentence}", STYLES[found.level])
    if found.fix is None or not fixes:
        return said
    return Content.assemble(said, (" " + visible(translate(found.fix)), "$muted"))


def cost_lines(plan: Plan) -> Content:
    """Rows, steps, time, disk and what is trained, as far as they are known."""
    lines = []
    if plan.steps is not None:
        lines.append(plural("{count} step", "{count} steps", plan.steps) + f" · {time_words(plan)}")
    if plan.trainable_parameters is not None:
        trained = short_count(plan.trainable_parameters)
        total = short_count(plan.total_parameters)
        lines.append(_("trains {trained} of {total}").format(trained=trained, total=total))
    if plan.disk.needed is not None:
        lines.append(_("disk {needed} of {free}").format(needed=size(plan.disk.needed), free=size(plan.disk.free)))
    return Content("\n".join(lines))


def time_words(plan: Plan) -> str:
    """The time as a range, or that nothing is known."""
    low, high = plan.time.low, plan.time.high
    if low is None or high is None:
        return _("time unknown")
    if duration(low) == duration(high):
        return f"≈ {duration(low)}"
    return f"{duration(low)} – {duration(high)}"


VERDICT_STYLES = {"fits": "$text-success", "tight": "$text-warning", "over": "$text-error", "unknown": "$muted"}


VERDICT_SIGNS = {"fits": "✓", "tight": "!", "over": "✗", "unknown": "?"}


def verdict_words(memory: Memory) -> str:
    """The verdict as a sentence, with the device it is about."""
    device = memory.device.name if memory.device else ""
    if memory.verdict == "fits":
        return _("✓ fits on {device}").format(device=device)
    if memory.verdict == "tight":
        return _("! tight on {device}").format(device=device)
    if memory.verdict == "over":
        return _("✗ too much for {device}").format(device=device)
    return _("? not known yet")


def rows_words(plan: Plan) -> str:
    """How many rows train and how many are held out."""
    if plan.train_rows is None:
        return ""
    return _("{train} rows, {held} held out").format(
        train=count(plan.train_rows), held=count(plan.validation_rows or 0)
    )


def _heading(text: str) -> Content:
    return Content.styled(text, "bold $text-accent")
