"""The process that is talked to may do what it likes: whoever talks to it never waits, and leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from finetty.tui.talking import Talker


@pytest.fixture
def deaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the process with the model: one that reads nothing and does not end."""
    program = tmp_path / "deaf"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.usefixtures("deaf")
def test_one_that_does_not_read_holds_nobody_up_and_goes_without_a_trace() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    heard: list[dict[str, Any]] = []
    talker = Talker([], heard.append)
    talker.say({"long": "x" * (1 << 20)})  # more than a pipe holds
    talker.stop()
    process = talker._process
    assert process.poll() is None
    talker.close()
    assert process.returncode is not None, "it was waited for"
    assert not Path(f"/proc/{process.pid}").exists()
    assert not any(thread.is_alive() for thread in talker._threads)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not heard, "an end that was asked for is no news"
