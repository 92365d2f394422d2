"""`python -m finetty.backend.replay`: the warm process that answers questions of `asking`, each in a fork of its own.

Its stdin is a socket. What comes over it is another socket for each question, over which the answer goes back. When a
socket is hung up the kernel ends whoever reads it: the fork its question's, this process its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetty.backend.messages import Finding, Refusal, message
from finetty.backend.replay.asking import LIVE_STAYS, Question

BROKE = message("replay.broke", "The exact prediction broke off: {reason}.")
NO_MEMORY = message(
    "replay.no_memory", "The exact prediction was given up: it took more than the {ram:.1f} GB of RAM left for it."
)


def main() -> None:
    step_back()
    asked = socket.socket(fileno=os.dup(0))
    on_null = os.open(os.devnull, os.O_RDWR)
    os.dup2(on_null, 0)
    os.dup2(2, 1)  # libraries print where they like
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks that ended leave nothing behind

    if not select.select([asked], [], [], 0)[0]:
        warm_up()
    gc.collect()
    gc.freeze()  # forks share what they do not write to
    while True:
        _, handed, _, _ = socket.recv_fds(asked, 1, 1)
        if not handed:
            return
        if os.fork() == 0:
            asked.close()
            answer_over(socket.socket(fileno=handed[0]))
        os.close(handed[0])


def step_back() -> None:
    """Behind everything else on the machine, and the first to go when its memory runs out."""
    os.nice(10)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def warm_up() -> None:
    """One small replay loads what torch and transformers load only when they run."""
    from transformers import LlamaConfig

    from finetty.backend.memory import Job
    from finetty.backend.replay.replaying import replay

    job = Job(rank=1, quantization="nf4", length=16, checkpointing=True, attention="sdpa")
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Refusal):
        sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "vocab_size": 32}
        LlamaConfig(**sizes, num_hidden_layers=1).save_pretrained(folder)
        replay(job, Path(folder), "cuda")


def answer_over(asker: socket.socket) -> None:
    """In the fork: ends the process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if ends_with(asker):
        os._exit(0)
    said = json.loads(asker.makefile().readline())
    signal.alarm(said["seconds"])
    answer = json.dumps(answered(Question.from_json(said["question"]), said["ram"]))
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        asker.sendall(answer.encode())
    os._exit(0)


def ends_with(asker: socket.socket) -> bool:
    """Have the kernel end this process once the other side hangs up; whether it has already."""
    fcntl.fcntl(asker, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(asker, fcntl.F_SETFL, fcntl.fcntl(asker, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(asker, 0)
    return bool(poll.poll(0))


def answered(question: Question, ram: int) -> dict[str, Any]:
    """The answer to a question, as JSON. `ram`: bytes that it may take."""
    from finetty.backend.replay.replaying import Card, replay

    card = Card(question.device.name, question.device.total, question.flash)
    try:
        _take_no_more_than(ram)
        found = replay(question.job, question.folder, question.device.kind, card)
    except Refusal as refusal:
        return {"finding": Finding("note", None, refusal.said, refusal.fix).to_json()}
    except MemoryError:
        return {"finding": Finding("note", None, NO_MEMORY(ram=ram / 1e9), LIVE_STAYS()).to_json()}
    except Exception as error:  # a foreign model's code and sizes: a sentence, not a traceback
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return {"finding": Finding("note", None, BROKE(reason=reason), LIVE_STAYS()).to_json()}
    return {"finding": None, "prediction": asdict(found.prediction), "seconds": found.seconds}


def _take_no_more_than(ram: int) -> None:
    """Bytes beyond what this process has: the next ones are refused, and no other process has to go."""
    status = Path("/proc/self/status").read_text().splitlines()
    here = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (here + ram, here + ram))


if __name__ == "__main__":
    main()
