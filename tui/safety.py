"""Whether the machine may be shut down once a run is over: its result is whole, on a disk that stays."""

from __future__ import annotations

from collections.abc import Mapping

from finetty.backend.machine.mounts import goes_with_machine
from finetty.backend.messages import Finding
from finetty.backend.runs import Run
from finetty.backend.runs.remains import missing


def lacking(run: Run, files: Mapping[str, int] | None) -> tuple[Finding, ...]:
    """What should be seen to first; nothing where it is safe. `files` as `missing` takes them."""
    whole, stays = missing(run, files), goes_with_machine(run.path) if files else None
    return tuple(found for found in (whole, stays) if found)
