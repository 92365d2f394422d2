"""Every action of finetty, its key and what it does: footer, help, palette and `finetty keys` read this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from finetty.tui.language import mark
from finetty.tui.text import ascii_only

if TYPE_CHECKING:
    from textual.binding import BindingType

Where = Literal[
    "everywhere",
    "home",
    "setup",
    "command",
    "wizard",
    "model",
    "data",
    "columns",
    "review",
    "template",
    "preview",
    "answers",
    "settings",
    "fit",
    "compare",
    "check",
    "runs",
    "dashboard",
    "chart",
    "chat",
    "question",
    "choose",
    "save",
    "load",
    "tags",
    "beside",
    "help",
]

PLACES: dict[Where, str] = {
    "everywhere": mark("Everywhere"),
    "home": mark("First screen"),
    "setup": mark("Set-up"),
    "command": mark("A command that runs"),
    "wizard": mark("New run"),
    "model": mark("New run: model"),
    "data": mark("New run: data"),
    "columns": mark("Columns"),
    "template": mark("New run: template"),
    "review": mark("New run: review"),
    "preview": mark("Preview"),
    "answers": mark("The base model's answers"),
    "settings": mark("Settings"),
    "fit": mark("Make it fit"),
    "compare": mark("Compare"),
    "check": mark("This machine"),
    "runs": mark("Runs"),
    "dashboard": mark("Dashboard"),
    "chart": mark("Curves"),
    "chat": mark("Talk"),
    "question": mark("A question"),
    "choose": mark("A choice"),
    "save": mark("Save the recipe"),
    "load": mark("Load a file"),
    "tags": mark("Tags"),
    "beside": mark("Runs drawn beside one"),
    "help": mark("Help"),
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

COMPARE = mark("Keep these settings as A; after a change, see A and the new ones side by side.")
BEFORE = mark("Back to the answers that were there before a recipe was loaded; once more, and back again.")

PREVIEW = mark("See any row as the model reads it, token by token.")

COLUMNS = mark("Say which column of your data is which, with a row as it will be read.")

ANSWERS = mark("Let the base model answer three of your rows, beside the answers that you want.")

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
    Action("set_up", "s", mark("Set up"), mark("Language, colours, what is missing, where things live."), "home"),
    Action("skip", "ctrl+n", mark("Skip"), mark("Go to the next step and take nothing here."), "setup", urgent=True),
    Action("back", "escape", mark("Back"), mark("Go back one step; what was chosen stays."), "setup", urgent=True),
    Action("close_command", "enter", mark("Back"), mark("Go back, once the command has ended."), "command"),
    Action("close", "escape", mark("Cancel"), mark("Cancel the command; it asks first."), "command"),
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
    Action("compare", "f5", mark("Compare"), COMPARE, "wizard", False, True),
    Action(
        "load_recipe", "ctrl+l", mark("Load"), mark("Load a recipe; the answers until now stay."), "wizard", False, True
    ),
    Action("answers_before", "f7", mark("Before"), BEFORE, "wizard", False, True),
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
    Action("columns", "f8", mark("Columns"), COLUMNS, "data", urgent=True),
    Action(
        "keep",
        "enter",
        mark("Keep it"),
        mark("Keep which column is which, and read the rows so."),
        "columns",
    ),
    Action("next_name", "right", mark("Choose"), mark("Take the next column for this part."), "columns"),
    Action("name_before", "left", mark("Before"), mark("Take the column before."), "columns", False),
    Action("next_row", "pagedown,ctrl+n", mark("Next row"), mark("Show the next row of your data."), "columns"),
    Action("previous_row", "pageup,ctrl+b", mark("Previous row"), mark("Show the row before."), "columns", False),
    Action(
        "close", "escape,f8", mark("Leave it"), mark("Back; the columns stay as they were."), "columns", urgent=True
    ),
    Action("next_row", "ctrl+n,pagedown", mark("Next row"), mark("Show the next row of your data."), "template"),
    Action(
        "previous_row", "ctrl+b,pageup", mark("Previous row"), mark("Show the row before."), "template", shown=False
    ),
    Action("preview", "f4", mark("Preview"), PREVIEW, "wizard", urgent=True),
    Action("next_row", "pagedown,ctrl+n", mark("Next row"), mark("Show the next row of your data."), "preview"),
    Action("previous_row", "pageup,ctrl+b", mark("Previous row"), mark("Show the row before."), "preview", False),
    Action("tokens", "t", mark("Tokens"), mark("Show the row token by token with ids, or as text again."), "preview"),
    Action("longest_row", "l", mark("Longest"), mark("Go to the longest row."), "preview"),
    Action("shortest_row", "s", mark("Shortest"), mark("Go to the shortest row."), "preview"),
    Action("cut_row", "c", mark("Cut"), mark("Go to the next row that is longer than the cutoff."), "preview"),
    Action("random_row", "r", mark("Random"), mark("Go to any row."), "preview"),
    Action("base_answers", "b,f6", mark("Base"), ANSWERS, "preview"),
    Action("close", "escape,f4", mark("Close"), mark("Back to the steps of the new run."), "preview", urgent=True),
    Action("base_answers", "f6", mark("Base"), ANSWERS, "wizard", False, True),
    Action("more_rows", "pagedown,n", mark("Other rows"), mark("Let it answer the next three rows."), "answers"),
    Action("ask_again", "r", mark("Ask again"), mark("Load the model again, after its process has ended."), "answers"),
    Action("close", "escape,f6", mark("Close"), mark("Back; the model leaves the memory."), "answers", urgent=True),
    Action("start", "enter", mark("Start"), mark("Start training; it asks once more."), "review"),
    Action(
        "close", "escape", mark("Close"), mark("Back to the review; changes are kept as they are made."), "settings"
    ),
    Action("make_fit", "f3", mark("Make it fit"), FIT, "settings", False, True),
    Action("compare", "f5", mark("Compare"), COMPARE, "settings", False, True),
    Action("take_first", "a", mark("Take A"), mark("Go on with the settings that were kept."), "compare"),
    Action("take_second", "b", mark("Take B"), mark("Go on with the settings as they are; A is forgotten."), "compare"),
    Action("close", "escape", mark("Close"), mark("Back; A stays kept."), "compare", urgent=True),
    Action("make_one", "enter", mark("Make it"), mark("Make the highlighted change."), "fit", urgent=True),
    Action("make_all", "a", mark("Make all"), mark("Make all of the changes."), "fit"),
    Action("close", "escape", mark("Close"), mark("Back; the changes that were made stay."), "fit", urgent=True),
    Action("leave_check", "escape", mark("Back"), mark("Back to the first screen."), "check"),
    Action("look_again", "r", mark("Again"), mark("Look at the machine again."), "check"),
    Action("answer", "a", mark("Answer"), mark("Answer what the run asks; it waits."), "dashboard"),
    Action("pause", "p", mark("Pause"), mark("Hold the run between two batches, or let it go on."), "dashboard"),
    Action("checkpoint", "c", mark("Checkpoint"), mark("Write a checkpoint at the next step."), "dashboard"),
    Action("stop", "s", mark("Stop"), mark("End the run and keep what was learned; it asks first."), "dashboard"),
    Action("discard", "x", mark("Discard"), mark("End the run and save nothing; it asks first."), "dashboard"),
    Action("detach", "d", mark("Detach"), mark("Leave the screen; the run goes on."), "dashboard"),
    Action("next_panel", "tab", mark("Next panel"), mark("Go to the next panel."), "dashboard", False),
    Action("previous_panel", "shift+tab", mark("Panel before"), mark("Go to the panel before."), "dashboard", False),
    Action("console", "l", mark("Log"), mark("Show what the libraries print, or go back."), "dashboard"),
    Action("search", "slash", mark("Search"), mark("Search the log and mark what is found."), "dashboard", False),
    Action("next_match", "n", mark("Next match"), mark("Go to the next log line that was found."), "dashboard", False),
    Action("previous_match", "N", mark("Match before"), mark("Go back to the one before."), "dashboard", False),
    Action("fill", "f", mark("Fill"), mark("Let the panel with the focus fill the screen."), "dashboard", False),
    Action("fold", "z", mark("Fold"), mark("Fold the panels below away, or open them again."), "dashboard", False),
    Action("smoothing", "m", mark("Smoothing"), mark("Smooth the loss more, not at all, or less."), "dashboard", False),
    Action(
        "compare", "o", mark("Compare"), mark("Draw the curves of other runs in the same chart."), "dashboard", False
    ),
    Action("talk", "t", mark("Talk"), mark("Talk to the result and its base, once the run is over."), "dashboard"),
    Action("edit", "e", mark("Edit"), mark("Open this run's answers again, at the one at fault."), "dashboard"),
    Action("done", "enter,q", mark("Leave"), mark("Leave; the run is over."), "dashboard"),
    Action("leave_run", "q", mark("Leave"), mark("Leave; it asks what becomes of the run."), "dashboard"),
    Action("zoom_in", "plus,equals_sign", mark("Zoom in"), mark("Show half as much of the curves."), "chart", False),
    Action("zoom_out", "minus", mark("Zoom out"), mark("Show twice as much of the curves."), "chart", False),
    Action(
        "show_all",
        "0",
        mark("Show all"),
        mark("Show the curves from their beginning to the newest step."),
        "chart",
        False,
    ),
    Action(
        "pan_left", "comma,shift+left", mark("Earlier"), mark("Move what is zoomed into to the left."), "chart", False
    ),
    Action(
        "pan_right",
        "full_stop,shift+right",
        mark("Later"),
        mark("Move it to the right; at the newest step it follows the run."),
        "chart",
        False,
    ),
    Action("cursor_left", "left", mark("Cursor left"), mark("Read the values of a step before."), "chart", False),
    Action("cursor_right", "right", mark("Cursor right"), mark("Read the values of a later step."), "chart", False),
    Action("cursor_first", "home", mark("First step"), mark("Read the values of the first step."), "chart", False),
    Action("no_cursor", "end", mark("Newest step"), mark("Read the newest values again."), "chart", False),
    Action("let_go", "escape", mark("Let go"), mark("Let go of the cursor, then of the zoom."), "chart", False),
    Action("log_scale", "g", mark("Log scale"), mark("Draw equal factors at equal heights."), "chart", False),
    Action("measure", "u", mark("Measure"), mark("Draw over steps, over tokens seen, or over time."), "chart", False),
    Action("attach", "enter", mark("Open"), mark("Open the dashboard of the highlighted run."), "runs", urgent=True),
    Action("search", "slash", mark("Search"), mark("List only the runs that hold the words you type."), "runs"),
    Action("tags", "g", mark("Tags"), mark("Change the highlighted run's tags."), "runs"),
    Action("put_away", "a", mark("Put away"), mark("Put the highlighted run away, or bring it back."), "runs"),
    Action(
        "show_archived", "v", mark("Show all"), mark("List also the runs that were put away, or not."), "runs", False
    ),
    Action("delete", "d,delete", mark("Delete"), mark("Delete the highlighted run's folder; it asks first."), "runs"),
    Action("mark_run", "space", mark("Mark"), mark("Mark the highlighted run for a comparison."), "runs", False),
    Action("compare", "o", mark("Compare"), mark("Draw the curves of the marked runs in one chart."), "runs"),
    Action("close", "escape,q", mark("Close"), mark("Leave the list of runs; a search ends first."), "runs"),
    Action("again", "n", mark("Use again"), mark("Open the wizard with the highlighted run's recipe."), "runs"),
    Action("take_out", "x", mark("Take out"), mark("Take the highlighted run out of the queue."), "runs", False),
    Action("refresh", "r", mark("Look again"), mark("Read the list of runs again."), "runs", False),
    Action("talk", "t", mark("Talk"), mark("Talk to the highlighted run's result and its base."), "runs", False),
    Action(
        "close", "escape", mark("Back"), mark("End the answer that is being written, else leave."), "chat", urgent=True
    ),
    Action("sides", "ctrl+b", mark("Who"), mark("Ask both, the tuned model, or the base."), "chat", urgent=True),
    Action("temperature", "ctrl+t", mark("Warmer"), mark("Sample at 0.7, at 1, or not at all."), "chat", urgent=True),
    Action(
        "prompts",
        "ctrl+o",
        mark("Prompts"),
        mark("Open a list of prompts and ask them one by one."),
        "chat",
        urgent=True,
    ),
    Action("anew", "ctrl+n", mark("Anew"), mark("Forget what was said and begin anew."), "chat", urgent=True),
    Action("save_talk", "ctrl+s", mark("Save"), mark("Save the transcript."), "chat", urgent=True),
    Action("agree", "y,Y", mark("Yes"), mark("Do it; it counts once no other key has followed."), "question"),
    Action("close", "escape,n,N", mark("Not yet"), mark("Back, and nothing is done."), "question"),
    Action("take_choice", "enter", mark("Choose"), mark("Take what is highlighted."), "choose", urgent=True),
    Action("close", "escape", mark("Back"), mark("Back, and nothing is chosen."), "choose"),
    Action("save", "enter", mark("Save"), mark("Save the recipe under this name."), "save", urgent=True),
    Action("close", "escape", mark("Back"), mark("Back, and nothing is saved."), "save"),
    Action("load", "enter", mark("Load"), mark("Load what is typed or highlighted."), "load", urgent=True),
    Action("to_list", "down", mark("To the list"), mark("Go to the files below."), "load", urgent=True),
    Action("close", "escape", mark("Back"), mark("Back; everything is left as it is."), "load"),
    Action("save", "enter", mark("Save"), mark("Keep these tags."), "tags", urgent=True),
    Action("close", "escape", mark("Back"), mark("Back; the tags stay as they were."), "tags"),
    Action("mark_run", "space", mark("Mark"), mark("Mark the highlighted run, or take its mark away."), "beside"),
    Action("close", "escape,o,q", mark("Back"), mark("Back, with the marked runs in the chart."), "beside"),
    Action("close", "escape,enter,q", mark("Close"), mark("Back to the screen below."), "help"),
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


def dialog_bindings(*places: Where) -> list[BindingType]:
    """The same for a dialog, which hides the app's own keys: with those."""
    from textual.binding import Binding

    of_the_app = (
        Binding(action.key, f"app.{action.name}", action.label, show=action.shown, tooltip=action.help)
        for action in actions("everywhere")
    )
    return [*bindings(*places), *of_the_app]


def key_name(key: str) -> str:
    """How a key is written for a person: `^r`, `Esc`, `F1`, `↵`, which in ASCII is Enter."""
    first = key.split(",")[0]
    if first.startswith("ctrl+"):
        return "^" + first.removeprefix("ctrl+")
    names = {"escape": "Esc", "enter": "↵", "space": "␣", "pagedown": "PgDn", "pageup": "PgUp", "tab": "Tab"}
    names |= {"plus": "+", "minus": "-", "comma": ",", "full_stop": ".", "home": "Home", "end": "End"}
    if ascii_only():
        names |= {"enter": "Enter", "space": "Space"}
    names |= {"up": "↑", "down": "↓", "left": "←", "right": "→", "question_mark": "?", "slash": "/"}
    return names.get(first, first.upper() if first[0] == "f" and first[1:].isdigit() else first)
