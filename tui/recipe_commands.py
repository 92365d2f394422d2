"""Commands that turn recipes into something else, and something else into recipes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from finetty.backend.messages import Refusal, message
from finetty.tui.command import RecipePath, command
from finetty.tui.language import _, mark, translate
from finetty.tui.text import visible

THERE_ALREADY = message("import.there_already", "There is a file already; nothing was written.")
SAY_FORCE = message("import.say_force", "Name another with -o, or replace it with --force.")


@command("import", mark("Make a recipe of a LLaMA-Factory or Axolotl YAML, and name what could not be carried over."))
def import_yaml(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=mark("The other tool's YAML file."))],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="RECIPE", help=mark("Where to write it; without, it is printed.")),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help=mark("Replace a recipe that is there."))] = False,
) -> None:
    from finetty.backend.recipe import dump_recipe, save_recipe
    from finetty.backend.recipe.import_recipe import import_recipe

    if output is not None and output.exists() and not force:
        raise Refusal(THERE_ALREADY(), SAY_FORCE(), path=output)
    imported = import_recipe(file)
    for left in imported.left:
        place = f"{file}:{left.line}" if left.line else str(file)
        line = f"{place}: {left.key}: {left.value} — {translate(left.reason)}"
        print(visible(line).replace("\n", " "), file=sys.stderr)
    if output is None:
        print(dump_recipe(imported.recipe), end="")
    else:
        save_recipe(imported.recipe, output)
        print(visible(_("{path}: a recipe from {tool}.").format(path=output, tool=imported.kind)))


@command("slurm", mark("Print a batch script for Slurm: it trains, saves before its time is up, and goes on."))
def slurm(
    recipe: RecipePath,
    nodes: Annotated[int, typer.Option("--nodes", min=1, max=1024, help=mark("Machines."))] = 1,
    gpus: Annotated[
        int | None,
        typer.Option("--gpus", min=0, max=64, help=mark("Cards of each machine; 0 trains on the processor.")),
    ] = None,
    cpus: Annotated[int, typer.Option("--cpus", min=1, max=1024, help=mark("Cores of each machine."))] = 8,
    time: Annotated[str, typer.Option("--time", metavar="LIMIT", help=mark("The time limit."))] = "12:00:00",
    memory: Annotated[
        str | None, typer.Option("--mem", metavar="SIZE", help=mark("Memory of each machine, as Slurm writes it."))
    ] = None,
    partition: Annotated[str | None, typer.Option("--partition", help=mark("The partition."))] = None,
    account: Annotated[str | None, typer.Option("--account", help=mark("The account."))] = None,
) -> None:
    from finetty.backend.recipe import load_recipe
    from finetty.backend.recipe.slurm import Job, Programs, batch_script
    from finetty.backend.runs import runs_root

    asked = load_recipe(recipe)
    devices = asked.hardware.devices
    cards = gpus if gpus is not None else len(devices) if isinstance(devices, list) else 0 if devices == "cpu" else 1
    python = Path(sys.executable)
    programs = Programs(python.with_name("finetty"), python, runs_root())
    print(batch_script(asked, recipe, Job(nodes, cards, cpus, time, memory, partition, account), programs), end="")
