"""machine_facts(): what plan() needs to know of this machine, in one quick look."""

from __future__ import annotations

from pathlib import Path

from finetty.backend.machine import host
from finetty.backend.machine.accelerators import accelerators, extras
from finetty.backend.machine.facts import MachineFacts
from finetty.backend.machine.gpus import cards
from finetty.backend.machine.peaks import stored_peaks
from finetty.backend.machine.torch_here import installed_torch


def machine_facts(runs_root: Path | None = None) -> MachineFacts:
    """Host, cards and installed accelerators; about 0.05 s, never raises. `runs_root`: whose disk is measured."""
    found = cards()
    total, available = host.memory()
    torch = installed_torch()
    return MachineFacts(
        hostname=host.hostname(),
        cpu=host.cpu_name(),
        cores=host.cores(),
        ram_total=total,
        ram_available=available,
        disk_free=host.disk_free(runs_root),
        cpu_fast_bf16=host.has_fast_bf16(),
        gpus=found.gpus,
        driver=found.driver,
        gpu_reason=found.reason,
        accelerators=accelerators(),
        extras=extras(),
        torch_version=torch.version,
        torch_cuda=torch.cuda,
        peaks=stored_peaks() if found.gpus else (),
        processes=host.processes_of_run(),
    )
