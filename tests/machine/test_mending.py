"""What is lacking and the command for it; and commands that run, are read, and are ended with all they started."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from finetty.backend.machine import accelerators
from finetty.backend.machine.facts import Accelerator, GpuFacts, MachineFacts
from finetty.backend.machine.gpus import UPDATED
from finetty.backend.machine.mending import held_path, hold_installed, lacks
from finetty.backend.machine.running import Running
from finetty.backend.machine.torch_here import card_fault

NOT_HERE = {
    name: Accelerator(name, None, f"{package} is not installed", accelerators.INSTALL[name])
    for name, package in accelerators.PACKAGES.items()
}
CPU = MachineFacts("box", "Xeon", 8, 16 << 30, 12 << 30, 1 << 40, False, accelerators=NOT_HERE, torch_version="2.13.0")


def card(capability: tuple[int, int] = (8, 9), driver: str = "580.95.05", cuda: str | None = "13.0") -> MachineFacts:
    gpu = GpuFacts(0, "GPU-0", "RTX", 24 << 30, 23 << 30, capability)
    return replace(CPU, gpus=(gpu,), driver=driver, torch_cuda=cuda)


def by_name(machine: MachineFacts) -> dict[str, tuple[str, ...] | None]:
    return {lack.name: lack.pip for lack in lacks(machine)}


def test_without_a_card_only_what_helps_without_one_has_a_command() -> None:
    assert by_name(CPU) == {
        "driver": None,
        "kernels": None,
        "unsloth": ("--no-deps", "unsloth", "unsloth_zoo"),
        "liger_kernel": None,
        "bitsandbytes": ("bitsandbytes",),
        "flash_attn": None,
        "gptqmodel": None,
    }


def test_with_a_card_everything_has_one_but_what_would_be_compiled() -> None:
    found = by_name(card())
    assert next(iter(found)) == "kernels" and found["kernels"] == ("kernels>=0.16,<0.17",)
    assert {name for name, pip in found.items() if pip is None} == {"flash_attn"}
    by_hand = {lack.name: lack for lack in lacks(card())}["flash_attn"]
    assert by_hand.command is None and by_hand.note is not None
    assert by_hand.note.text.endswith("pip install flash-attn --no-build-isolation")
    old = {lack.name: lack for lack in lacks(card(capability=(7, 5)))}["flash_attn"]
    assert old.pip is None and "7.5" in old.reason.text


def test_what_would_be_of_no_use_is_not_lacking() -> None:
    def here(name: str, machine: MachineFacts) -> set[str]:
        return {one.name for one in lacks(replace(machine, accelerators={**NOT_HERE, name: Accelerator(name, "1.0")}))}

    both = {"flash_attn", "kernels"}
    assert not both & here("kernels", card()) and not both & here("flash_attn", card())
    assert "gptqmodel" not in here("gptqmodel", card())
    for capability, hopper in (((8, 9), False), ((9, 0), True), ((10, 0), False), ((12, 0), False)):
        assert ("flash_attn_interface" in by_name(card(capability))) is hopper
    assert "deepspeed" not in by_name(card())
    broken = {"deepspeed": Accelerator("deepspeed", None, "version 0.19 does not import: no nvcc", "pip install x")}
    assert by_name(replace(card(), accelerators=broken)) == {"deepspeed": ("x",)}


def test_a_card_that_cannot_be_used_is_urgent_and_none_is_not() -> None:
    none, broken = lacks(CPU)[0], lacks(replace(CPU, gpu_reason=UPDATED()))[0]
    assert (none.name, none.urgent, none.command) == ("driver", False, None)
    assert (broken.name, broken.urgent) == ("driver", True) and "restart the machine" in broken.reason.text
    assert all(lack.name != "driver" for lack in lacks(card()))


def test_a_torch_that_does_not_see_the_card_is_said() -> None:
    blind = lacks(card(), "no CUDA-capable device is detected")[0]
    assert blind.urgent and blind.command is None and "no CUDA-capable device" in blind.reason.text
    assert card_fault() is not None, "there is no card here"


def test_torch_comes_first_and_is_the_build_for_this_driver() -> None:
    first = lacks(replace(CPU, torch_version=None))[0]
    assert (first.name, first.urgent, first.pip) == ("torch", True, ("torch==2.13.0",))
    first = lacks(card(driver="550.54", cuda="13.0"))[0]
    assert first.name == "torch" and first.urgent
    assert first.pip == ("torch==2.13.0", "--index-url", "https://download.pytorch.org/whl/cu126")
    assert first.command == (sys.executable, "-m", "pip", "install", *first.pip)
    hopeless = lacks(card(driver="390.10", capability=(3, 0)))[0]
    assert hopeless.command is None and hopeless.note is not None and "390.10" in hopeless.note.text


def test_a_command_holds_everything_but_what_it_brings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lack = {one.name: one for one in lacks(CPU)}["bitsandbytes"]
    hold_installed(lack)
    assert lack.command == (
        sys.executable, "-m", "pip", "install", "--constraint", str(held_path()), "bitsandbytes",
    )  # fmt: skip
    held = dict(line.split("==") for line in held_path().read_text().splitlines())
    assert {"torch", "transformers", "numpy", "huggingface-hub"} <= held.keys()
    assert not {"finetty", "bitsandbytes"} & held.keys()
    assert held_path().is_relative_to(tmp_path)


def test_its_output_and_exit_code_are_told() -> None:
    running = Running([sys.executable, "-c", "import sys; print('one', sys.stdout.isatty()); sys.exit(7)"])
    assert b"".join(running.output()).replace(b"\r", b"") == b"one True\n"
    assert running.exit_code() == 7 and not running.cancelled


def test_it_reads_nothing_and_what_it_leaves_behind_ends_with_it() -> None:
    child = "import subprocess, sys; print(repr(sys.stdin.read())); print(subprocess.Popen(['sleep', '600']).pid)"
    running = Running([sys.executable, "-c", child])
    said, pid = b"".join(running.output()).split()
    assert said == b"''" and running.exit_code() == 0
    wait_for_end(int(pid))


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_cancelled_command_ends_with_all_its_children(stubborn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetty.backend.machine.running.SECONDS_TO_END", 0.1 if stubborn else 30)
    heard = "signal.SIG_IGN" if stubborn else "signal.SIG_DFL"  # said to both: tests in the background ignore Ctrl+C
    ears = f"for one in (signal.SIGINT, signal.SIGTERM): signal.signal(one, {heard})\n"
    child = (
        f"import signal, subprocess, time\n{ears}"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True)\ntime.sleep(600)"
    )
    running = Running([sys.executable, "-c", child])
    output = running.output()
    pid = int(next(said for said in output if said))
    running.cancel()
    for _said in output:
        pass
    assert running.cancelled and running.exit_code() != 0
    wait_for_end(pid)


def test_what_cannot_be_started_says_so() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(FileNotFoundError):
        Running(["/nowhere/pip"])
    assert set(Path("/proc/self/fd").iterdir()) == before


def wait_for_end(pid: int) -> None:
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
        assert time.monotonic() < until, f"{pid} is still there"
        time.sleep(0.01)
