"""Every action of finetty, its key and what it does: footer, help, palette and `finetty keys` read this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from finetty.tui.language import mark

if TYPE_CHECKING:
    from textual.binding import BindingType

Where = Literal[
    "everywhere", "home", "wizard", "model", "review", "template", "settings", "fit", "check", "runs", "dashboard"
]

PLACES: dict[Where, str] = {
    "everywhere": mark("Everywhere"),
    "home": mark("First screen"),
    "wizard": mark("New run"),
    "model": mark("New run: model"),
    "template": mark("New run: template"),
    "review": mark("New run: review"),
    "settings": mark("Settings"),
    "fit": mark("Make it fit"),
    "check": mark("This machine"),
    "runs": mark("Runs"),
    "dashboard": mark("Dashboard"),
}


@dataclass(frozen=True)
class Action:
    """One action. `name` is the method `action_<name>` that does it, `key` as Textual writes keys, several by commas.

    `label` is the word in the footer, `help` the sentence in help, palette and `finetty keys`; both are English source
    text, translated when shown. A `shown` action is in the footer.
    """

    name: str
    key: str
    label: str
    help: str
    where: Where
    shown: bool = True
    urgent: bool = False
    """Whether the key works even while a text field has the focus and would take it."""


FIT = mark("Changes that bring the run into the free memory, each with what it saves and costs.")

ACTIONS: tuple[Action, ...] = (
    Action("help", "f1", mark("Help"), mark("Explain the part that has the focus."), "everywhere"),
    Action("language", "f2", "中文/English", mark("Change the language; nothing typed is lost."), "everywhere"),
    Action("command_palette", "ctrl+p", mark("Commands"), mark("Find any action by its name."), "everywhere"),
    Action(
        "leave", "ctrl+c,ctrl+q", mark("Leave"), mark("Leave finetty; it asks first."), "everywhere", False, urgent=True
    ),
    Action("open", "enter", mark("Open"), mark("Open the highlighted entry."), "home"),
    Action("demo", "d", mark("Demo"), mark("Try the demo: a small real model learns a new habit."), "home", False),
    Action("new", "n", mark("New run"), mark("Tune a model on your own data."), "home", False),
    Action("watch", "w", mark("Runs"), mark("Watch a run, live or past."), "home", False),
    Action("check", "c", mark("Check"), mark("Check what this machine has and what it lacks."), "home", False),
    Action("next", "enter", mark("Next"), mark("Keep the answer and go to the next step."), "wizard"),
    Action("back", "escape", mark("Back"), mark("Go back one step; every answer stays."), "wizard"),
    Action("make_fit", "f3", mark("Make it fit"), FIT, "wizard", urgent=True),
    Action(
        "review",
        "ctrl+r",
        mark("Review"),
        mark("Go straight to the review, everything else automatic."),
        "wizard",
        urgent=True,
    ),
    Action(
        "settings",
        "ctrl+o",
        mark("Settings"),
        mark("Every option of the run, each with its explanation."),
        "wizard",
        urgent=True,
    ),
    Action(
        "save_recipe",
        "ctrl+s",
        mark("Save"),
        mark("Save the answers as a recipe, under a name."),
        "wizard",
        urgent=True,
    ),
    Action("mend", "ctrl+g", mark("Go to fault"), mark("Go to the answer that is at fault."), "wizard", False, True),
    Action(
        "only_fitting",
        "ctrl+f",
        mark("Fits here"),
        mark("List only models that fit this machine."),
        "model",
        True,
        True,
    ),
    Action("tag", "ctrl+t", mark("Tag"), mark("List only models that carry a tag."), "model", True, True),
    Action("next_row", "ctrl+n,pagedown", mark("Next row"), mark("Show the next row of your data."), "template"),
    Action(
        "previous_row", "ctrl+b,pageup", mark("Previous row"), mark("Show the row before."), "template", shown=False
    ),
    Action("start", "enter", mark("Start"), mark("Start training; it asks once more."), "review"),
    Action(
        "close", "escape", mark("Close"), mark("Back to the review; changes are kept as they are made."), "settings"
    ),
    Action("make_fit", "f3", mark("Make it fit"), FIT, "settings", False, True),
    Action("make_all", "a", mark("Make all"), mark("Make all of the changes."), "fit"),
    Action("close", "escape", mark("Close"), mark("Back; the changes that were made stay."), "fit", urgent=True),
    Action("leave_check", "escape", mark("Back"), mark("Back to the first screen."), "check"),
    Action("look_again", "r", mark("Again"), mark("Look at the machine again."), "check"),
    Action("pause", "p", mark("Pause"), mark("Hold the run between two batches, or let it go on."), "dashboard"),
    Action("checkpoint", "c", mark("Checkpoint"), mark("Write a checkpoint at the next step."), "dashboard"),
    Action("stop", "s", mark("Stop"), mark("End the run and keep what was learned; it asks first."), "dashboard"),
    Action("discard", "x", mark("Discard"), mark("End the run and save nothing; it asks first."), "dashboard"),
    Action("detach", "d", mark("Detach"), mark("Leave the screen; the run goes on."), "dashboard"),
    Action("next_panel", "tab", mark("Next panel"), mark("Go to the next panel."), "dashboard", False),
    Action("previous_panel", "shift+tab", mark("Panel before"), mark("Go to the panel before."), "dashboard", False),
    Action("console", "l", mark("Log"), mark("Show what the libraries print, or go back."), "dashboard"),
    Action("search", "slash", mark("Search"), mark("Show only the log lines that hold a text."), "dashboard", False),
    Action("fill", "f", mark("Fill"), mark("Let the panel with the focus fill the screen."), "dashboard", False),
    Action("log_scale", "g", mark("Log scale"), mark("Draw equal factors at equal heights."), "dashboard", False),
    Action("edit", "e", mark("Edit"), mark("Open this run's answers again, at the one at fault."), "dashboard"),
    Action("done", "enter,q", mark("Leave"), mark("Leave; the run is over."), "dashboard"),
    Action("leave_run", "q", mark("Leave"), mark("Leave; it asks what becomes of the run."), "dashboard"),
    Action("attach", "enter", mark("Open"), mark("Open the dashboard of the highlighted run."), "runs", urgent=True),
    Action("refresh", "r", mark("Look again"), mark("Read the list of runs again."), "runs"),
    Action("close", "escape,q", mark("Close"), mark("Leave the list of runs."), "runs"),
)
"""The dashboard's and the list of runs' own actions stand here too, with `where` saying so."""


def actions(*places: Where) -> tuple[Action, ...]:
    """The actions of these places, in the order of the list."""
    return tuple(action for action in ACTIONS if action.where in places)


def bindings(*places: Where) -> list[BindingType]:
    """Key bindings for an App, Screen or Widget whose actions these are."""
    from textual.binding import Binding

    return [
        Binding(action.key, action.name, action.label, show=action.shown, priority=action.urgent, tooltip=action.help)
        for action in actions(*places)
    ]


def key_name(key: str) -> str:
    """How a key is written for a person: `^r`, `Esc`, `F1`, `↵`."""
    first = key.split(",")[0]
    if first.startswith("ctrl+"):
        return "^" + first.removeprefix("ctrl+")
    names = {"escape": "Esc", "enter": "↵", "space": "␣", "pagedown": "PgDn", "pageup": "PgUp", "tab": "Tab"}
    names |= {"up": "↑", "down": "↓", "left": "←", "right": "→", "question_mark": "?", "slash": "/"}
    return names.get(first, first.upper() if first[0] == "f" and first[1:].isdigit() else first)
