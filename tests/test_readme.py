"""Both READMEs carry the options as the code declares them, and the ways of training as they were proven."""

from __future__ import annotations

import pytest
from tools.readme import PROJECT, READMES, filled

from finetty.tui.language import Language, set_language


@pytest.mark.parametrize("language", READMES)
def test_the_generated_tables_are_current(language: Language) -> None:
    """Mend with `python -m tools.readme`."""
    text = (PROJECT / READMES[language]).read_text("utf-8")
    assert "| `training.learning_rate` |" in text and "| lora, nf4, fp32 |" in text
    try:
        assert text == filled(text, language)
    finally:
        set_language("en")
