"""Every command that a run can be given has its words on the dashboard."""

from __future__ import annotations

from finetty.backend.runs import COMMANDS
from finetty.tui.screens.dashboard_words import command_words, done_words


def test_every_command_has_its_words() -> None:
    for command in COMMANDS:
        assert command_words(command)
        assert done_words(command)
