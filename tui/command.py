"""How a command of finetty is declared, and what all of them share: options, output, and errors as one sentence."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetty.backend.settings import say_in_environment
from finetty.tui.errors import with_errors_said
from finetty.tui.language import mark, set_language
from finetty.tui.text import visible

if TYPE_CHECKING:
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
HourlyPrice = Annotated[
    str | None,
    typer.Option(
        "--price",
        metavar="PRICE",
        help=mark("What the machine costs an hour, as 2.49 or '18 CNY': the run's cost is shown."),
    ),
]
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
        say_in_environment("FINETTY_RUNS", str(runs_dir))
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


def find(name: str) -> Run:
    from finetty.backend.runs import find_run, runs_root

    return find_run(runs_root(), name)
