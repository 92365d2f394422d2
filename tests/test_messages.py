"""A message keeps its id and values through a file, so that what one language wrote another can read."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from finetty.backend.messages import Finding, Message, Refusal, message

FEW = message("test.few", "{count} rows are few.")
TAKES = message("test.takes", "It takes {what}.")
BIG = message("test.big", "It takes {needed:size}.")


def test_a_finding_comes_back_from_its_json() -> None:
    found = Finding("warning", "dataset.train", TAKES(what=FEW(count=3)), FEW(count=4))
    document = json.loads(json.dumps(found.to_json()))
    assert document["message"] == "It takes 3 rows are few.."
    assert document["fix"] == "4 rows are few."
    assert Finding.from_json(document).message.text == found.message.text
    assert isinstance(Finding.from_json(document).message.values["what"], Message)


def test_a_message_of_another_version_keeps_its_english() -> None:
    assert Message.from_json({"id": "gone.since", "values": {}}, "As it was said.").text == "As it was said."


def test_an_id_belongs_to_one_text() -> None:
    with pytest.raises(ValueError, match=r"test\.few"):
        message("test.few", "Another text.")


def test_values_are_never_read_as_a_format() -> None:
    assert TAKES(what="{count} [bold] %s").text == "It takes {count} [bold] %s."


def test_a_refusal_is_one_line_with_place_and_mend() -> None:
    from pathlib import Path

    refusal = Refusal(FEW(count=1), TAKES(what="more"), path=Path("data.jsonl"), line=7)
    assert str(refusal) == "data.jsonl:7: 1 rows are few. It takes more."


def test_bytes_are_written_as_a_person_reads_them_and_kept_as_a_number() -> None:
    said = BIG(needed=605_168_896)
    assert said.text == "It takes 577 MB."
    assert said.to_json()["values"]["needed"] == 605_168_896


def test_no_two_modules_call_a_message_the_same() -> None:
    """Declaring fails where two are loaded together, which no single test may do."""
    declared = [
        name
        for room in ("backend", "tui")
        for path in (Path(__file__).parent.parent / room).rglob("*.py")
        for name in re.findall(r'\bmessage\(\s*"([^"]+)"', path.read_text("utf-8"))
    ]
    assert len(declared) > 300
    assert [name for name, times in Counter(declared).items() if times > 1] == []
