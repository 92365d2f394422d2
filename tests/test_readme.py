"""Both READMEs carry the table of options as the code declares it."""

from __future__ import annotations

import pytest
from tools.readme import PROJECT, READMES, filled

from finetty.tui.language import Language, set_language


@pytest.mark.parametrize("language", READMES)
def test_the_options_table_is_current(language: Language) -> None:
    """Mend with `python -m tools.readme`."""
    text = (PROJECT / READMES[language]).read_text("utf-8")
    assert "| `training.learning_rate` |" in text
    try:
        assert text == filled(text, language)
    finally:
        set_language("en")
