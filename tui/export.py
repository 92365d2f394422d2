"""`finetty export` on plain lines: what is being done, what was proven, and what to type next."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TextIO

from finetty.backend.messages import Message, Refusal, message
from finetty.backend.results.export import FORMS, Wanted, export
from finetty.backend.results.onward import next_lines
from finetty.backend.runs import Run
from finetty.tui.language import _, translate
from finetty.tui.text import visible

UNKNOWN_FORM = message("export.unknown_form", "There is no export to {form}.")
ITS_FORMS = message("export.its_forms", "It is one of: {forms}.")
STRANGE_SIZE = message("export.strange_size", "{text} is no size of a shard.")
SIZE_SHAPE = message("export.size_shape", "Write a number with MB or GB: 5GB.")

LLAMA_FACTORY = "llamafactory"
"""The run's recipe and rows, without its result: for a run in any state."""
SMALLEST_SHARD = 1 << 20


def export_run(run: Run, form: str, folder: Path, wanted: Wanted, push_to: str | None) -> None:
    """Export, say what came of it, and upload it where that was asked for. Raises Refusal."""
    if form == LLAMA_FACTORY:
        _export_llama_factory(run, folder)
        return
    known = next((one for one in FORMS if one == form), None)
    if known is None:
        raise Refusal(UNKNOWN_FORM(form=form), ITS_FORMS(forms=", ".join((*FORMS, LLAMA_FACTORY))))
    made = export(run, known, folder, wanted, report=lambda said: _say(said, sys.stderr))
    for said in made.proof:
        _say(said)
    print(_("exported:    {path}").format(path=visible(str(made.path))))
    for line in next_lines(known, made.path, served_name(run)):
        _say(line)
    if push_to:
        from finetty.backend.results.pushing import push

        address = push(made.path, push_to)
        if sys.stderr.isatty():
            print(file=sys.stderr)  # the client's progress bars leave the cursor in the midst of one
        print(_("uploaded:    {address}").format(address=address))


def _export_llama_factory(run: Run, folder: Path) -> None:
    from finetty.backend.results.llama_factory_folder import CONFIGURATION, export_llama_factory

    path, left = export_llama_factory(run, folder)
    for said in left:
        _say(said, sys.stderr)
    print(_("exported:    {path}").format(path=visible(str(path))))
    command = f"cd {shlex.quote(str(path))} && llamafactory-cli train {CONFIGURATION}"
    print(_("train it:    {command}").format(command=visible(command)))


def served_name(run: Run) -> str:
    """The run's name as vLLM and Ollama take it."""
    return re.sub(r"[^a-z0-9._-]+", "-", run.status().name.lower()).strip("-.") or run.id


def shard_bytes(text: str) -> int:
    """`5GB` in bytes, 1024-based. Raises Refusal."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MG])i?B?", text.strip(), re.IGNORECASE)
    size = round(float(found[1]) * (1 << (30 if found[2].upper() == "G" else 20))) if found else 0
    if size < SMALLEST_SHARD:
        raise Refusal(STRANGE_SIZE(text=text), SIZE_SHAPE())
    return size


def _say(said: Message, stream: TextIO | None = None) -> None:
    print(visible(translate(said)), file=stream or sys.stdout, flush=True)
