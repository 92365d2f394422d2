"""How the screens look: one style sheet a part of the program, and the themes."""

from pathlib import Path

STYLES = Path(__file__).parent
