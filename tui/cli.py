"""The command line: each command reads its arguments, asks the backend, prints; nothing is worked out here."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetty.backend.messages import Refusal
from finetty.tui.errors import EXIT_REFUSED, stop, with_errors_said
from finetty.tui.language import _, mark, set_language, translate
from finetty.tui.launcher import on_terminal, open_app
from finetty.tui.text import visible

if TYPE_CHECKING:
    from finetty.backend.planning.facts import Facts
    from finetty.backend.planning.plan import Plan
    from finetty.backend.recipe import Recipe
    from finetty.backend.runs import Run

app = typer.Typer(
    name="finetty",
    help=mark("Fine-tune a language model from the terminal."),
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help=mark("A recipe's YAML file."))]
RunName = Annotated[str, typer.Argument(metavar="RUN", help=mark("A run's id, the beginning of one, or `latest`."))]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help=mark("Change an option of the recipe."))
]
AsJson = Annotated[bool, typer.Option("--json", help=mark("Print one JSON document."))]
RunsDir = Annotated[Path | None, typer.Option("--runs-dir", metavar="FOLDER", help=mark("Where runs are kept."))]
Language = Annotated[
    str | None, typer.Option("--lang", metavar="en|zh_CN", help=mark("The language of what is shown."))
]
Plain = Annotated[bool, typer.Option("--plain", help=mark("Print plain lines, without a screen."))]
Ascii = Annotated[bool, typer.Option("--ascii", help=mark("Draw with ASCII characters only."))]
Debug = Annotated[bool, typer.Option("--debug", help=mark("Show the traceback of an error."))]


def common_options(
    lang: Language = None,
    runs_dir: RunsDir = None,
    ascii_only: Ascii = False,
) -> None:
    """What every command takes, before or after its name."""
    if lang:
        set_language(lang)
    if runs_dir:
        os.environ["FINETTY_RUNS"] = str(runs_dir)
    if ascii_only:
        os.environ["FINETTY_ASCII"] = "1"


def command(name: str, summary: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command of finetty, with the common options and --debug beside its own.

    Errors become one sentence and exit code 2, or 1 where finetty itself is at fault.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own, shared = inspect.signature(function, eval_str=True), inspect.signature(common_options, eval_str=True)

        @wraps(function)
        def guarded(*, debug: bool = False, **values: Any) -> None:
            def run() -> None:
                common_options(**{key: values.pop(key) for key in shared.parameters})
                function(**values)

            with_errors_said(run, debug=debug)

        debug = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
        everything = [*own.parameters.values(), *shared.parameters.values(), debug]
        keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in everything]
        guarded.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
        guarded.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword_only}
        app.command(name, help=summary)(guarded)
        return function

    return register


def say(lines: Iterable[str]) -> None:
    for line in lines:
        print(visible(line))


def print_json(document: Any) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2))


@app.callback(invoke_without_command=True)
def home(
    context: typer.Context,
    lang: Language = None,
    runs_dir: RunsDir = None,
    ascii_only: Ascii = False,
    debug: Debug = False,
) -> None:
    """Without a command: the app."""
    with_errors_said(lambda: common_options(lang, runs_dir, ascii_only), debug=debug)
    if context.invoked_subcommand is None:
        with_errors_said(lambda: open_app("home", None), debug=debug)


@command("new", mark("Open the wizard."))
def new(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE]", help=mark("A recipe to begin with."))] = None,
    fault: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    from finetty.backend.recipe import load_recipe

    open_app("new", load_recipe(recipe) if recipe else None, fault=fault)


@command("demo", mark("Tune a small model on a dataset that ships with finetty."))
def demo(
    settings: Settings = None,
    plain: Plain = False,
) -> None:
    from finetty.backend.demo import RECIPE
    from finetty.backend.recipe import load_recipe, with_assignments

    recipe = with_assignments(load_recipe(RECIPE), settings or [])
    if on_terminal() and not plain:
        open_app("demo", recipe)
    else:
        train_recipe(recipe, plain=True)


@command("plan", mark("What a recipe would do on this machine: every choice with its reason, memory, disk, time."))
def plan(
    recipe: RecipePath,
    settings: Settings = None,
    as_json: AsJson = False,
    gpu: Annotated[
        str | None, typer.Option("--gpu", metavar="NAME|SIZE", help=mark("Plan for a card that is not here."))
    ] = None,
) -> None:
    _facts, planned = plan_of(recipe, settings, gpu=gpu)
    if as_json:
        print_json(planned.to_json())
    else:
        from finetty.tui.plain import plan_lines

        say(plan_lines(planned))
    if planned.errors:
        sys.exit(EXIT_REFUSED)


@command("train", mark("Train: with the dashboard on a terminal, in plain lines elsewhere."))
def train(
    recipe: RecipePath,
    settings: Settings = None,
    plain: Plain = False,
) -> None:
    from finetty.backend.recipe import load_recipe, with_assignments

    train_recipe(with_assignments(load_recipe(recipe), settings or []), plain=plain or not on_terminal())


def train_recipe(recipe: Recipe, *, plain: bool) -> None:
    """Plan, make the run's folder, and become the process that trains. Exit code 2 where the plan has an error."""
    from finetty.backend.planning import gather
    from finetty.backend.planning import plan as make_plan
    from finetty.backend.runs import Run, runs_root
    from finetty.tui.plain import finding_lines

    root = runs_root()
    facts = gather(recipe, runs_root=root, report=lambda said: print(visible(translate(said)), file=sys.stderr))
    planned = make_plan(recipe, facts.model, facts.machine, facts.data)
    if planned.errors:
        stop("\n".join(finding_lines(planned.errors)))
    run = Run.create(root, planned.to_json(), planned.recipe, asked=recipe)
    become_run(run, plain=plain)


def become_run(run: Run, *, plain: bool, resume: bool = False) -> None:
    """Hand the run over to a fresh interpreter: this very process where there is no screen to keep."""
    from finetty.tui.processes import hand_over

    hand_over(run, plain=plain, resume=resume)


@command("runs", mark("List the runs, the newest first."))
def runs(as_json: AsJson = False) -> None:
    from finetty.backend.runs import list_runs, runs_root
    from finetty.tui.plain import run_document, runs_lines

    found = list_runs(runs_root())
    if as_json:
        print_json([run_document(run) for run in found])
    else:
        say(runs_lines(found))


@command("attach", mark("Watch a run, and steer it, from any login."))
def attach(
    run: RunName = "latest",
    plain: Plain = False,
) -> None:
    watched = find(run)
    if plain or not on_terminal():
        from finetty.tui.follow import follow

        follow(watched)
        return
    from finetty.tui.screens.dashboard import DashboardApp

    DashboardApp(watched, owner=False).run()


@command("resume", mark("Go on with a paused run, or with a dead one from its last whole checkpoint."))
def resume(
    run: RunName,
    plain: Plain = False,
) -> None:
    from finetty.backend.runs import LIVE_STATES

    found = find(run)
    state = found.status().state
    if state == "paused":
        steer(found, "resume")
    elif state in LIVE_STATES and state != "queued":
        stop(_("The run {run} is already {state}.").format(run=found.id, state=state), 1)
    elif state == "finished":
        stop(_("The run {run} is finished; there is nothing left to train.").format(run=found.id), 1)
    else:
        become_run(found, plain=plain or not on_terminal(), resume=state != "queued")


@command("stop", mark("Stop a run at its next step and save what it has learned."))
def stop_run(
    run: RunName,
    discard: Annotated[bool, typer.Option("--discard", help=mark("Stop without saving."))] = False,
) -> None:
    steer(find(run), "stop" if discard else "stop-and-save")


@command("pause", mark("Pause a run between two micro-batches."))
def pause(run: RunName) -> None:
    steer(find(run), "pause")


@command("checkpoint", mark("Have a run write a checkpoint at its next step."))
def checkpoint(run: RunName) -> None:
    steer(find(run), "checkpoint")


def steer(run: Run, name: str) -> None:
    """Send a command to a live run and say what it answered. Exit code 1 where the run is not alive."""
    from finetty.backend.runs import LIVE_STATES, send_command, wait_for_result

    state = run.status().state
    if state not in LIVE_STATES:
        stop(_("The run {run} is not alive: it is {state}.").format(run=run.id, state=state), 1)
    answer = wait_for_result(run, send_command(run, name))
    if answer is None:
        stop(_("The run {run} has not answered within 30 seconds; the command was taken back.").format(run=run.id), 1)
    print(visible(f"{run.id}: {name}: {answer.get('result')}"))


@command("rm", mark("Delete a run's folder: its checkpoints and its result."))
def remove(run: RunName) -> None:
    from finetty.backend.runs import remove_run, runs_root

    freed = remove_run(runs_root(), run)
    from finetty.tui.text import size

    print(_("Deleted; {size} are free again.").format(size=size(freed)))


@command("preview", mark("Show a row as the model reads it: text, tokens, and which of them are trained."))
def preview(
    recipe: RecipePath,
    row: Annotated[int, typer.Option("--row", min=1, help=mark("Which row, from 1."))] = 1,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    from finetty.backend.dataset import preview as preview_of
    from finetty.tui.plain import preview_lines

    facts, _planned = plan_of(recipe, settings)
    assert facts.encoder is not None, "gather() refuses a model without a tokenizer"
    document = preview_of(facts.rows.rows, row, facts.encoder)
    print_json(document) if as_json else say(preview_lines(document))


@command("data", mark("The data report: rows read, used and refused with file and line, lengths, tokens."))
def data(
    recipe: RecipePath,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    from finetty.backend.dataset import data_report
    from finetty.tui.plain import report_lines

    facts, planned = plan_of(recipe, settings)
    cutoff = planned.recipe.dataset.cutoff
    document = data_report(facts.rows, facts.data, cutoff if isinstance(cutoff, int) else None)
    print_json(document) if as_json else say(report_lines(document))


@command("models", mark("The models that can be tuned, those on this machine first, and what a model's name says."))
def models(
    query: Annotated[
        list[str] | None, typer.Argument(metavar="[QUERY]", help=mark("Words of a name; a slip is forgiven."))
    ] = None,
    classify: Annotated[
        str | None, typer.Option("--classify", metavar="NAME", help=mark("What a model's name says."))
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help=mark("Only models with this tag: Instruct, Coder, VL …"))
    ] = None,
    fits: Annotated[
        str | None,
        typer.Option("--fits", metavar="CARD|SIZE", help=mark("Only models whose weights go into this memory.")),
    ] = None,
    as_json: AsJson = False,
) -> None:
    from finetty.tui.plain import classified, classified_lines, listed_models, models_lines

    if classify is not None:
        document = classified(classify)
        print_json(document) if as_json else say(classified_lines(document))
        return
    found = listed_models(" ".join(query or []), tag=tag, fits=fits)
    print_json(found) if as_json else say(models_lines(found))


@command("templates", mark("The conversation templates, or one of them rendered."))
def templates(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help=mark("One template."))] = None,
    jinja: Annotated[bool, typer.Option("--jinja", help=mark("Print the template as Jinja."))] = False,
    as_json: AsJson = False,
) -> None:
    from finetty.backend.conversation import template_named, template_names
    from finetty.tui.plain import template_lines, templates_lines

    if name is None:
        listed = [named._asdict() for named in template_names()]
        print_json(listed) if as_json else say(templates_lines(listed))
        return
    template = template_named(name)
    if as_json:
        print_json(asdict(template) | {"jinja": template.jinja()})
    else:
        print(template.jinja()) if jinja else say(template_lines(template))


@command("chat", mark("Talk to a run's result, or to its base."))
def chat(
    run: RunName,
    base: Annotated[bool, typer.Option("--base", help=mark("Talk to the base model instead of the result."))] = False,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help=mark("Print one answer, for scripts."))
    ] = None,
) -> None:
    from finetty.tui.chat import answer_once, converse

    if prompt is None:
        converse(find(run), base=base)
    else:
        answer_once(find(run), prompt, base=base)


@command("doctor", mark("What this machine has, what will work, what is missing and the command that mends it."))
def doctor(as_json: AsJson = False) -> None:
    from finetty.backend.machine import doctor as examination
    from finetty.backend.runs import runs_root
    from finetty.tui.plain import doctor_lines

    document = examination(runs_root())
    print_json(document) if as_json else say(doctor_lines(document))


@command("keys", mark("Every action of the screens, with its key."))
def keys() -> None:
    from finetty.tui.plain import key_lines

    say(key_lines())


def plan_of(path: Path, settings: list[str] | None, *, gpu: str | None = None) -> tuple[Facts, Plan]:
    from finetty.backend.planning import gather
    from finetty.backend.planning import plan as make_plan
    from finetty.backend.recipe import load_recipe, with_assignments
    from finetty.backend.runs import runs_root

    recipe = with_assignments(load_recipe(path), settings or [])
    facts = gather(recipe, runs_root=runs_root(), gpu=gpu)
    return facts, make_plan(recipe, facts.model, facts.machine, facts.data)


def find(name: str) -> Run:
    from finetty.backend.runs import find_run, runs_root

    return find_run(runs_root(), name)


def main() -> None:
    root = typer.main.get_command(app)
    _speak(root, sys.argv[1:])
    root()


def _speak(root: Any, arguments: list[str]) -> None:
    """Put the help texts into the user's language; `--lang` counts before the arguments are parsed."""
    for word, following in pairwise([*arguments, ""]):
        if word == "--lang" or word.startswith("--lang="):
            with contextlib.suppress(Refusal):
                set_language(word.partition("=")[2] or following)
    for told in (root, *root.commands.values()):
        told.help = _(told.help) if told.help else None
        for parameter in told.params:
            if getattr(parameter, "help", None):
                parameter.help = _(parameter.help)


if __name__ == "__main__":
    main()
