"""The guided set-up: looks, what is missing, where things live, where models come from, and the offer of the demo."""

from finetty.tui.screens.setup.screen import Ending, SetUp

__all__ = ["Ending", "SetUp"]
