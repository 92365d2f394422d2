"""What the dashboard says in sentences: of a run that waits, of commands and their answers, of its own panels."""

from __future__ import annotations

from finetty.tui.language import _, translate
from finetty.tui.text import duration, visible
from finetty.tui.watch import View


def waiting_words(view: View) -> str:
    """What a run without a step is doing, and for how long."""
    words = {
        "queued": _("The run waits for its process to begin."),
        "loading": _("Loading the libraries, the model and the data."),
        "preflight": _("Trying the longest rows before the first step, so that memory does not run out later."),
        "running": _("Measuring the held-out rows; the first step comes next."),
        "paused": _("The run is paused before its first step."),
        "saving": _("Writing the result."),
    }.get(view.state, _("The run ended before its first step."))
    if view.figures.activity and not view.over:
        words = visible(translate(view.figures.activity))
    if view.over or view.figures.began is None:
        return words
    return f"{words}  {duration(view.now - view.figures.began)}"


def command_words(name: str) -> str:
    return {
        "pause": _("pause"),
        "resume": _("go on"),
        "checkpoint": _("write a checkpoint"),
        "stop": _("stop, save nothing"),
        "stop-and-save": _("stop and save"),
        "shrink": _("go on with a smaller micro-batch"),
    }[name]


def done_words(name: str) -> str:
    """What an obeyed command has come to."""
    return {
        "pause": _("Paused: p goes on."),
        "resume": _("Going on."),
        "checkpoint": _("The checkpoint is written."),
        "stop": _("Stopping; nothing is saved."),
        "stop-and-save": _("Stopping and saving."),
        "shrink": _("Going on with a smaller micro-batch."),
    }[name]


def panel_name(panel: str) -> str:
    return {
        "chart": _("Loss curve"),
        "samples": _("Samples"),
        "alerts": _("Alerts"),
        "gpus": _("Cards"),
        "console": _("Log"),
    }[panel]


def panel_help(panel: str) -> str:
    """What a panel shows and what its own keys do."""
    return {
        "chart": _(
            "The loss over the steps: how surprised the model is by the answers it should give; lower is better. The"
            " thin line is each step, the thick one their running mean, the marks are the loss on rows that it never"
            " learns from. When the marks rise while the line falls, it learns by heart. Left and right read values,"
            " End lets go. Other runs that are compared are lines with letters on them; their held-out losses are the"
            " capital letters."
        ),
        "samples": _(
            "The same questions, answered before the training and after it. A falling loss proves little; these show"
            " whether the model does what you want."
        ),
        "alerts": _(
            "What finetty noticed while it trained, the newest first, each with what to do about it. At the top right,"
            " safe to disconnect says that nothing was found that would end the run with your login, and safe to shut"
            " down that every file of the result is as it was written, on a disk that stays."
        ),
        "gpus": _(
            "Each card, every few seconds: the share of the time that it computes, its memory, its power against its"
            " cap, its heat, what slows it down, and other processes on it. A card at its power cap works as it should;"
            " one that idles waits for data. N/A is what a card does not say."
        ),
        "console": _(
            "What the libraries under finetty print, as they wrote it into console.log. Slash searches: what is found"
            " is marked, n goes to the next line that holds it, N to the one before, Esc ends the search."
        ),
    }[panel]
