"""The command line: each command reads its arguments, asks the backend, prints; nothing is worked out here."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from finetty.backend.messages import Refusal
from finetty.tui import recipe_commands, run_commands  # noqa: F401 - they register their commands
from finetty.tui.command import (
    Ascii,
    AsJson,
    Debug,
    HourlyPrice,
    Language,
    Plain,
    RecipePath,
    RunName,
    RunsDir,
    Settings,
    app,
    command,
    common_options,
    find,
    print_json,
    say,
)
from finetty.tui.errors import EXIT_REFUSED, said, stop, with_errors_said
from finetty.tui.language import _, mark, set_language, translate
from finetty.tui.launcher import on_terminal, open_app, open_home
from finetty.tui.text import visible

if TYPE_CHECKING:
    from finetty.backend.planning.facts import Facts
    from finetty.backend.planning.plan import Plan
    from finetty.backend.recipe import Recipe
    from finetty.backend.runs import Run
    from finetty.backend.runs.price import Price


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
        with_errors_said(open_home, debug=debug)


@command("new", mark("Open the wizard."))
def new(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE]", help=mark("A recipe to begin with."))] = None,
    fault: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    from finetty.backend.recipe.files import salvage_recipe
    from finetty.tui.ending import failure_words

    if recipe is None:
        open_app("new", fault=fault)
        return
    read = salvage_recipe(recipe)
    first = next(iter(read.refusals), None)
    why = said(first) if first else failure_words(recipe.parent)
    open_app("new", read.recipe, fault=fault or (first.option if first else None), why=why, unread=read.unread)


@command(
    "setup", mark("Set finetty up: language, colours, what is missing, where things live, where models come from.")
)
def setup() -> None:
    open_app("setup")


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
    exact: Annotated[
        bool,
        typer.Option("--exact", help=mark("Compute the memory by replaying the training step; some seconds more.")),
    ] = False,
) -> None:
    facts, planned = plan_of(recipe, settings, gpu=gpu)
    if exact:
        from finetty.backend.replay.planned import exactly

        planned = exactly(planned, facts.model, facts.machine, facts.data)
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
    price: HourlyPrice = None,
    plain: Plain = False,
) -> None:
    from finetty.backend.recipe import load_recipe, with_assignments
    from finetty.backend.runs.price import price_of
    from finetty.tui import several

    if several.follows():
        several.follow()
    said = price_of(price) if price else None
    train_recipe(with_assignments(load_recipe(recipe), settings or []), plain=plain or not on_terminal(), price=said)


def train_recipe(recipe: Recipe, *, plain: bool, price: Price | None = None) -> None:
    """Plan, make the run's folder, and become the process that trains. Exit code 2 where the plan has an error."""
    from finetty.backend.planning import gather
    from finetty.backend.planning import plan as make_plan
    from finetty.backend.runs import Run, runs_root
    from finetty.backend.runs.labels import set_price
    from finetty.tui.plain import finding_lines

    root = runs_root()
    facts = gather(recipe, runs_root=root, report=lambda said: print(visible(translate(said)), file=sys.stderr))
    planned = make_plan(recipe, facts.model, facts.machine, facts.data)
    if planned.errors:
        stop("\n".join(finding_lines(planned.errors)))
    run = Run.create(root, planned.to_json(), planned.recipe, asked=recipe)
    if price:
        set_price(run, price)
    become_run(run, plain=plain)


def become_run(run: Run, *, plain: bool, resume: bool = False) -> None:
    """Hand the run over to a fresh interpreter: this very process where there is no screen to keep."""
    from finetty.tui.processes import hand_over

    hand_over(run, plain=plain, resume=resume)


def priced(run: Run, price: str | None) -> Run:
    """The run, with what an hour costs kept in it where that was said. Raises Refusal."""
    from finetty.backend.runs.labels import set_price
    from finetty.backend.runs.price import price_of

    if price:
        set_price(run, price_of(price))
    return run


@command("attach", mark("Watch a run, and steer it, from any login."))
def attach(
    run: RunName = "latest",
    price: HourlyPrice = None,
    plain: Plain = False,
) -> None:
    watched = priced(find(run), price)
    if plain or not on_terminal():
        from finetty.tui.follow import follow

        follow(watched)
        return
    from finetty.tui.dashboard_app import DashboardApp

    DashboardApp(watched, owner=False).run()


@command("resume", mark("Go on with a paused run, or with a dead one from its last whole checkpoint."))
def resume(
    run: RunName,
    price: HourlyPrice = None,
    plain: Plain = False,
) -> None:
    from finetty.backend.runs import LIVE_STATES
    from finetty.tui import several

    if several.follows():
        several.follow()
    found = priced(find(run), price)
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
    from finetty.backend.runs.queue import take_out

    found = find(run)
    if take_out(found):
        print(_("{run} waits no more.").format(run=found.id))
        return
    steer(found, "stop" if discard else "stop-and-save")


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


@command("preview", mark("Show a row as the model reads it: text, tokens, and which of them are trained."))
def preview(
    recipe: RecipePath,
    row: Annotated[int, typer.Option("--row", min=1, help=mark("Which row, from 1."))] = 1,
    settings: Settings = None,
    as_json: AsJson = False,
    answers: Annotated[
        bool, typer.Option("--answers", help=mark("Let the base model answer three rows, beside the wanted answers."))
    ] = False,
) -> None:
    from finetty.backend.dataset import preview as preview_of
    from finetty.tui.base_answers import print_answers
    from finetty.tui.plain import preview_lines

    facts, planned = plan_of(recipe, settings)
    assert facts.encoder is not None, "gather() refuses a model without a tokenizer"
    document = preview_of(facts.rows.rows, row, facts.encoder)
    if answers:
        print_answers(planned, facts.rows.rows, row, document if as_json else None)
        return
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
    micro_batch, seed = planned.recipe.training.micro_batch, planned.recipe.training.seed
    document = data_report(
        facts.rows,
        facts.data,
        cutoff if isinstance(cutoff, int) else None,
        micro_batch=micro_batch if isinstance(micro_batch, int) else None,
        seed=seed,
    )
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


@command("chat", mark("Talk to a run's result and to its base, side by side; or compare them on a list of prompts."))
def chat(
    run: Annotated[str, typer.Argument(metavar="RUN|FOLDER", help=mark("A run, or a folder with an exported model."))],
    base: Annotated[bool, typer.Option("--base", help=mark("Talk to the base model instead of the result."))] = False,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help=mark("Print one answer, for scripts."))
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", metavar="FILE", help=mark("Answer each line of a file by both, and measure both.")),
    ] = None,
    temperature: Annotated[
        str | None,
        typer.Option("--temperature", metavar="NUMBER", help=mark("How freely it answers, from 0, which is the rule.")),
    ] = None,
    top_p: Annotated[
        str | None,
        typer.Option("--top-p", metavar="NUMBER", help=mark("The share of probability that it samples from.")),
    ] = None,
    longest: Annotated[
        str | None, typer.Option("--longest", metavar="NUMBER", help=mark("The most tokens of an answer."))
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help=mark("A system prompt instead of the template's."))
    ] = None,
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    from finetty.tui.chat import LONGEST, LONGEST_OF_A_LIST, answer_once, converse, show_comparison, talked_to
    from finetty.tui.conversation import settings_from

    given = {"temperature": temperature, "top-p": top_p, "longest": longest, "system": system}
    settings = settings_from(given)
    found = talked_to(run)
    if prompts is not None:
        settings = settings_from(given, longest=LONGEST_OF_A_LIST)
        show_comparison(found, prompts, settings, as_json=as_json, side_by_side=on_terminal() and not plain)
    elif prompt is not None:
        answer_once(found, prompt, settings_from(given, longest=LONGEST), base=base)
    elif base or plain or not on_terminal():
        converse(found, settings_from(given, longest=LONGEST), base=base)
    else:
        from finetty.tui.screens.chat import ChatApp

        ChatApp(found, settings).run()


@command("export", mark("Give a run to other programs: an adapter, a merged model, GGUF, Ollama, LLaMA-Factory."))
def export(
    run: RunName,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=mark("The folder to make; it must not be there yet."))],
    to: Annotated[
        str, typer.Option("--to", metavar="FORM", help=mark("adapter, merged, gguf, ollama or llamafactory."))
    ],
    dtype: Annotated[
        Literal["bf16", "fp16", "fp32"] | None,
        typer.Option("--dtype", help=mark("The number format of a merged model; the base's own without it.")),
    ] = None,
    shard_size: Annotated[
        str, typer.Option("--shard-size", metavar="SIZE", help=mark("The largest weight file of a merged model."))
    ] = "5GB",
    quantize: Annotated[
        str,
        typer.Option("--quantize", metavar="KIND", help=mark("A GGUF's format: f16, q8_0, or q4_k_m by llama.cpp.")),
    ] = "f16",
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="NAME", help=mark("Upload it to the Hub, into a private repository.")),
    ] = None,
) -> None:
    from finetty.backend.results.export import Wanted
    from finetty.tui.export import export_run, served_name, shard_bytes

    found = find(run)
    export_run(found, to, folder, Wanted(dtype, shard_bytes(shard_size), quantize.lower(), served_name(found)), push)


@command("doctor", mark("What this machine has, what will work, what is missing and the command that mends it."))
def doctor(
    prove: Annotated[
        bool,
        typer.Option("--prove", help=mark("Train 20 steps in each way that this machine has; takes some minutes.")),
    ] = False,
    notify: Annotated[
        bool, typer.Option("--notify", help=mark("Send a notice, to see whether notices come through."))
    ] = False,
    as_json: AsJson = False,
) -> None:
    from finetty.backend.machine import doctor as examination
    from finetty.backend.runs import runs_root
    from finetty.tui.notices import notices_document, send_test_notice
    from finetty.tui.plain import doctor_lines, proof_lines

    if prove:
        from finetty.backend import proving

        report = proving.prove(lambda said: print(visible(translate(said)), file=sys.stderr, flush=True))
        path = proving.write_report(report)
        print_json({**report, "path": str(path)}) if as_json else say(proof_lines(report, path))
        return
    if notify:
        send_test_notice()
        return
    document = {**examination(runs_root()), "notices": notices_document()}
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
