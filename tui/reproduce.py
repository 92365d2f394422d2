"""`finetty reproduce`: what has changed since a run, the run again, and whether it came out the same."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict

from finetty.backend.results.reproduction import Agreement, again, agreement, differences, threads_of
from finetty.backend.runs import Run
from finetty.tui.command import print_json
from finetty.tui.errors import EXIT_FAILED, stop
from finetty.tui.language import _, translate
from finetty.tui.text import count, visible


def reproduce_run(run: Run, *, as_json: bool) -> None:
    """Exit code 0 where the losses are the same, 1 where they are not or the run could not be trained again.

    Raises Refusal where it is not known what the run was trained on.
    """
    found = differences(run)
    for difference in found:
        _say(_("differs: {what}").format(what=translate(difference.what)))
    if any(difference.decides for difference in found):
        stop(_("The run {run} cannot come out the same; put that back first.").format(run=run.id), EXIT_FAILED)
    if not found:
        _say(_("Recipe, data, base and versions are as they were."))
    new = again(run)
    _train(new, threads_of(run))
    compared = agreement(run, new)
    if as_json:
        print_json(
            {
                "runs": [run.id, new.id],
                "differences": [difference.what.text for difference in found],
                **asdict(compared),
                "same": compared.same,
            }
        )
    else:
        print(visible(_outcome(compared, new)))
    sys.exit(0 if compared.same else EXIT_FAILED)


def _train(run: Run, threads: int | None) -> None:
    """In a process of its own, with the threads that the first had; its lines go to stderr."""
    environment = {**os.environ} | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    command = [sys.executable, "-m", "finetty.tui.run", str(run.path), "--plain"]
    if subprocess.run(command, stdout=sys.stderr, env=environment, check=False).returncode:
        stop(
            _("The run {run} was not trained to its end; there is nothing to compare.").format(run=run.id), EXIT_FAILED
        )


def _outcome(compared: Agreement, new: Run) -> str:
    if not compared.compared:
        return _("The runs have no step in common.")
    if compared.same:
        return _("All {count} losses are the same to the bit. The new run is {run}.").format(
            count=count(compared.compared), run=new.id
        )
    return _(
        "The first loss that differs is that of step {step}; of {count} losses none differs by more than {share:.2g} "
        "of it. The new run is {run}."
    ).format(step=compared.first_difference, count=count(compared.compared), share=compared.largest, run=new.id)


def _say(line: str) -> None:
    print(visible(line), file=sys.stderr, flush=True)
