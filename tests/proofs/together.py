"""Runs of one or more processes, each forked from a server that has the libraries loaded already."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetty.backend.runs import Run

SECONDS = 300
"""Within which they end, on a machine with much else to do; one that waits for another would wait for days."""
SPOILED = 3

CONTEXT: Any = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["transformers.trainer", "peft", "torch.distributed.fsdp", "finetty.backend.training.stages"]
)


def carried_out(
    run: Run, processes: int = 1, *, resumed: bool = False, spoil: Callable[[int], None] | None = None
) -> list[int]:
    """Train until all have ended; returns their exit codes: 0 where the run finished. `spoil` is told the rank."""
    port = _free_port()
    own = [
        CONTEXT.Process(target=_take_part, args=(rank, processes, port, run.path, resumed, spoil))
        for rank in range(processes)
    ]
    for process in own:
        process.start()
    until = time.monotonic() + SECONDS
    try:
        for process in own:
            process.join(max(0.0, until - time.monotonic()))
        assert not any(process.is_alive() for process in own), "a process hangs"
    finally:
        for process in own:
            process.kill()
    return [process.exitcode for process in own]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _take_part(
    rank: int, processes: int, port: int, folder: Path, resumed: bool, spoil: Callable[[int], None] | None
) -> None:
    import torch

    console = os.open(folder / f"rank-{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(console, 1)
    os.dup2(console, 2)
    torch.set_num_threads(1)
    if processes > 1:
        # As torchrun says it.
        named = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        os.environ.update({name: str(value) for name, value in named.items()})
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    from finetty.backend import training

    if spoil is not None:
        spoil(rank)
    carry_out = training.resume if resumed else training.train
    state = training.take_part() if rank else carry_out(Run.open(folder))
    os._exit(0 if state == "finished" else SPOILED)
