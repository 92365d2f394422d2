"""Commands on many runs, and on those that are not alive: the queue, and keeping order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetty.tui.command import AsJson, RunName, command, find, print_json, say
from finetty.tui.language import _, mark


@command("queue", mark("Have recipes trained one after another, in the background; without one, show what waits."))
def queue(
    recipes: Annotated[
        list[Path] | None, typer.Argument(metavar="[RECIPE]...", help=mark("Recipes' YAML files, in their order."))
    ] = None,
) -> None:
    from finetty.backend.runs import runs_root
    from finetty.backend.runs.queue import waiting
    from finetty.tui.queue import begin, queued

    root = runs_root()
    runs = queued(recipes, root) if recipes else waiting(root)
    if not runs:
        print(_("Nothing waits."))
        return
    begin(root)
    say(_("{run} waits: {name}").format(run=run.id, name=run.status().name) for run in runs)
    print(_("They are trained one after another, also without this terminal: `finetty runs` shows how far they are."))


@command("runs", mark("List the runs, the newest first; with words, those that have them all."))
def runs(
    query: Annotated[
        list[str] | None,
        typer.Argument(metavar="[QUERY]", help=mark("Words of a run's id, name, state, tags, model or data.")),
    ] = None,
    archived: Annotated[bool, typer.Option("--archived", help=mark("List also the runs that were put away."))] = False,
    as_json: AsJson = False,
) -> None:
    from finetty.backend.runs import list_runs, runs_root
    from finetty.backend.runs.labels import labels_of, matches
    from finetty.backend.runs.queue import waiting
    from finetty.tui.run_lines import run_document, runs_lines

    root = runs_root()
    waits = [run.id for run in waiting(root)]
    listed = [run for run in list_runs(root) if archived or not labels_of(run).archived]
    found = [run_document(run, waits) for run in listed if matches(run, query or [])]
    if as_json:
        print_json(found)
    elif found:
        say(runs_lines(found))
    else:
        print(_("No run has these words.") if query else _("There are no runs yet. `finetty demo` makes one."))


@command("rm", mark("Delete a run's folder: its checkpoints and its result."))
def remove(run: RunName) -> None:
    from finetty.backend.runs import remove_run, runs_root
    from finetty.backend.runs.labels import disk_use
    from finetty.tui.run_lines import freed_line

    found = find(run)
    use = disk_use(found)
    say([freed_line(use, remove_run(runs_root(), found.id))])


@command("tag", mark("Give a run tags, or take some away; without any, show them."))
def tag_run(
    run: RunName,
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help=mark("Tags to give."))] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="TAG", help=mark("A tag to take away."))
    ] = None,
) -> None:
    from finetty.backend.runs.labels import labels_of, tag

    found = find(run)
    labels = tag(found, add=tags or [], remove=remove or []) if tags or remove else labels_of(found)
    say([f"{found.id}: {' '.join(labels.tags)}".rstrip()])


@command("archive", mark("Put a run away: it keeps its folder, and lists leave it out."))
def archive_run(
    run: RunName,
    back: Annotated[bool, typer.Option("--back", help=mark("Bring it back into the lists."))] = False,
) -> None:
    from finetty.backend.runs.labels import archive

    found = find(run)
    archive(found, archived=not back)
    words = _("{run} is in the lists again.") if back else _("{run} is put away; `finetty runs --archived` lists it.")
    say([words.format(run=found.id)])


@command("compare", mark("Two runs side by side: where their recipes differ, and their losses."))
def compare_runs(
    run: RunName,
    other: RunName,
    as_json: AsJson = False,
) -> None:
    from finetty.backend.runs.comparison import compare
    from finetty.tui.run_lines import comparison_lines

    document = compare(find(run), find(other))
    print_json(document) if as_json else say(comparison_lines(document))


@command("reproduce", mark("Train a run again and compare: the same losses, or exactly what differs."))
def reproduce(run: RunName, as_json: AsJson = False) -> None:
    from finetty.tui.reproduce import reproduce_run

    reproduce_run(find(run), as_json=as_json)
