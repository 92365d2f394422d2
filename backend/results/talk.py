"""A process that holds a model and answers, one JSON object a line: `python -m finetty.backend.results.talk FOLDER`.

FOLDER is a run's, or one that was exported. Without it, it is the base model of a plan, whose document is the first
line of its input.

A screen that is talked on stays light, and what the model took is free again when its process ends.

In: {"id", "turns": [[role, content, ...], ...], "tools", "base", "temperature", "top_p", "longest"} asks;
{"stop": true} ends the answer that is being given; the end of the input ends the process.
Out: {"ready": true}, then {"id", "piece"} as text comes and {"id", "done": true, "tokens", "seconds"} at its end;
{"problem": {said, fix}} where the model cannot answer.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from finetty.backend.conversation import RowProblem, Turn
from finetty.backend.messages import Message, Refusal, message
from finetty.backend.planning.plan import Plan
from finetty.backend.results.base_alone import TAKE_SMALLER, BaseAlone
from finetty.backend.results.exported import speaker_of, talked_at
from finetty.backend.results.speaker import Speaker
from finetty.backend.training.out_of_memory import is_out_of_memory

NO_MEMORY = message("results.no_memory", "Memory ran out while the model was loaded or answered.")
BROKE = message("results.talk_broke", "The model could not answer: {kind}: {reason}")


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    plan = None if len(sys.argv) > 1 else Plan.from_json(json.loads(sys.stdin.readline()))
    asked: queue.Queue[dict[str, Any] | None] = queue.Queue()
    enough = threading.Event()
    threading.Thread(target=_listen, args=(asked, enough), daemon=True).start()
    try:
        chat = speaker_of(talked_at(Path(sys.argv[1]))) if plan is None else BaseAlone(plan)
    except Refusal as refusal:
        _say(out, problem=_problem(refusal.said, refusal.fix))
        return
    except Exception as error:
        _say(out, problem=_broke(error))
        return
    _say(out, ready=True)
    while (request := asked.get()) is not None:
        enough.clear()
        _answer(chat, request, enough, out)


def _listen(asked: queue.Queue[dict[str, Any] | None], enough: threading.Event) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("stop"):
            enough.set()
        else:
            asked.put(request)
    enough.set()
    asked.put(None)


def _answer(chat: Speaker, request: dict[str, Any], enough: threading.Event, out: TextIO) -> None:
    turns = [_turn(*said) for said in request["turns"]]
    how = {name: request[name] for name in ("temperature", "top_p", "longest")}
    began, text = time.monotonic(), ""
    try:
        pieces = chat.answer(turns, tools=tuple(request.get("tools", ())), base=request["base"], **how)
        for piece in pieces:
            text += piece
            _say(out, id=request["id"], piece=piece)
            if enough.is_set():
                pieces.close()  # type: ignore[attr-defined]
                break
    except RowProblem as problem:
        _say(out, id=request["id"], problem=_problem(problem.said, None))
    except Exception as error:
        _say(out, id=request["id"], problem=_broke(error))
    tokens = len(chat.encoder.tokenizer.encode(text, add_special_tokens=False).ids)
    _say(out, id=request["id"], done=True, tokens=tokens, seconds=time.monotonic() - began)


def _turn(role: Any, content: str, reasoning: str | None = None, calls: Sequence[Any] = (), *more: str | None) -> Turn:
    return Turn(role, content, reasoning, tuple(calls), *more)


def _broke(error: Exception) -> dict[str, Any]:
    if is_out_of_memory(error):
        return _problem(NO_MEMORY(), TAKE_SMALLER())
    return _problem(BROKE(kind=type(error).__name__, reason=str(error)), None)


def _problem(said: Message, fix: Message | None) -> dict[str, Any]:
    return {"said": said.told(), "fix": fix.told() if fix else None}


def _say(out: TextIO, **values: Any) -> None:
    try:
        out.write(json.dumps(values, ensure_ascii=False) + "\n")
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
