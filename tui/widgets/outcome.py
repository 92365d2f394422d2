"""How a run ended: what became of the loss, where the result is, why it failed, and what to type next."""

from __future__ import annotations

from textual.content import Content

from finetty.tui.language import _, translate
from finetty.tui.text import count, duration, loss, visible
from finetty.tui.watch import View
from finetty.tui.widgets.figures import TONES, Quiet, ascii_only, state_sign


class OutcomeBox(Quiet):
    """The ending of a run, for as long as it is over."""

    def show_view(self, view: View) -> None:
        self.display = view.over
        if view.over:
            self.show(Content("\n").join(outcome_lines(view)))


def outcome_lines(view: View) -> list[Content]:
    """Verdict, losses, then what to type."""
    tone = f"bold {TONES.get(view.state, '$text-warning')}"
    cost = "" if view.cost is None else "  " + _("cost: {cost}").format(cost=visible(view.cost))
    lines = [Content.assemble((f"{state_sign(view.state)} {verdict(view)}", tone), cost)]
    lines += [Content.styled(text, "") for text in (_why(view),) if text]
    if changes := [change for change in (_loss(view), _held_out(view)) if change.plain]:
        lines.append(Content("    ").join(changes))
    lines += [Content.styled(text, "$text-warning") for text in _lacking(view)]
    lines += [_pair(label, value) for label, value in _next(view)]
    return lines


def verdict(view: View) -> str:
    values = {"step": count(view.step), "total": "?" if view.total is None else count(view.total)}
    values["time"] = duration(view.elapsed)
    return {
        "finished": _("Finished: {step} steps in {time}."),
        "stopped": _("Stopped at step {step} of {total}, after {time}."),
        "failed": _("Failed at step {step} of {total}, after {time}."),
        "crashed": _("The process of this run is gone, at step {step} of {total}: killed, or out of memory."),
    }[view.state].format(**values)


def _why(view: View) -> str:
    if view.state == "failed" and view.figures.failure:
        cure = f" {translate(view.figures.cure)}" if view.figures.cure else ""
        return visible(translate(view.figures.failure) + cure)
    if view.state == "failed":
        return _("It did not say why; the log below may (key l).")
    return ""


def _lacking(view: View) -> list[str]:
    """What is missing, and how to mend it, before the machine may be shut down."""
    lines = []
    for found in view.lacking or ():
        # Where there is no result, how to go on is among what to type next.
        mend = translate(found.fix) if found.fix and view.figures.saved else ""
        lines.append(visible(f"{translate(found.message)} {mend}"))
    return lines


def _loss(view: View) -> Content:
    return _change(_("loss"), view.figures.first_loss, view.figures.smoothed)


def _held_out(view: View) -> Content:
    return _change(_("held-out loss"), view.figures.held_out_first, view.figures.held_out)


def _change(name: str, before: float | None, after: float | None) -> Content:
    if before is None or after is None:
        return Content("")
    arrow = "->" if ascii_only() else "→"
    share = f" ({(after - before) / before:+.0%})" if before else ""
    tone = "$text-success" if after < before else "$text-warning"
    return Content.assemble(
        (f"{name} ", "$foreground-muted"), f"{loss(before)} {arrow} ", (loss(after), "bold"), (share, tone)
    )


def _next(view: View) -> list[tuple[str, str]]:
    pairs = []
    if view.output is not None:
        pairs.append((_("result"), visible(str(view.output))))
        pairs.append((_("talk to it"), f"finetty chat {view.run_id}"))
    if view.state in ("failed", "stopped", "crashed"):
        step = view.figures.checkpoint_step
        place = _("from step {step}").format(step=count(step)) if step is not None else _("from its start")
        pairs.append((_("go on"), f"finetty resume {view.run_id}   ({place})"))
    pairs.append((_("see this again"), f"finetty attach {view.run_id}"))
    return pairs


def _pair(label: str, value: str) -> Content:
    shown = Content.styled(label, "$foreground-muted")
    return Content.assemble(shown.pad_right(max(1, 16 - shown.cell_length)), value)
