"""Which template is taken and why, and what is said about a model and a template that do not fit."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from finetty.backend.conversation import Encoder, Row, Turn, load_encoder
from finetty.backend.messages import Refusal
from finetty.backend.recipe import Recipe, with_values

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ASK = (Turn("user", "Hello?"),)
ROW = Row((*ASK, Turn("assistant", "Hi.")))


def load(folder: Path, **values: Any) -> Encoder:
    return load_encoder(folder, with_values(Recipe(), {key.replace("__", "."): value for key, value in values.items()}))


def said(encoder: Encoder) -> str:
    return " ".join(finding.message.text for finding in encoder.findings)


def test_auto_takes_the_models_own(tiny_model: Path) -> None:
    encoder = load(tiny_model)
    assert "own" in encoder.reason.text
    assert encoder.findings == ()
    assert encoder.stop_ids == (2,)
    assert encoder.pad_id == 0


def test_own_is_auto_said_outright(tiny_model: Path, make_model: Any) -> None:
    assert load(tiny_model).name == load(tiny_model, template__name="own").name == "own"
    with pytest.raises(Refusal, match="no template of its own"):
        load(make_model(), template__name="own")


def test_another_one_than_the_models_own_is_a_warning(tiny_model: Path) -> None:
    encoder = load(tiny_model, template__name="vicuna")
    assert encoder.name == "vicuna"
    assert "vicuna is another" in said(encoder)


def test_a_base_model_gets_its_familys_with_a_warning_that_lora_does_not_train_its_marks(make_model: Any) -> None:
    encoder = load(make_model())
    assert encoder.name == "llama3"
    assert "<|eot_id|>" in said(encoder)
    assert not load(make_model(), method__name="full").findings


def test_a_base_model_that_knows_chatmls_marks_gets_chatml(make_model: Any) -> None:
    assert load(make_model(marks=[])).name == "chatml"


def test_a_base_model_that_knows_no_marks_gets_plain_text(make_model: Any, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    plain = Tokenizer(
        models.BPE({letter: at for at, letter in enumerate([*pre_tokenizers.ByteLevel.alphabet(), "</s>"])}, [])
    )
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.add_special_tokens(["</s>"])
    folder = make_model(eos_token="</s>")
    plain.save(str(folder / "tokenizer.json"))
    encoder = load(folder)
    assert encoder.name == "default"
    assert said(encoder) == "" or "padding" in said(encoder)
    (sequence,) = encoder.encode(ROW)
    assert sequence.trained[-1] is False
    assert sequence.ids[-2] in encoder.stop_ids
    assert sequence.trained[-2]


def test_an_unknown_name_gets_the_nearest(tiny_model: Path) -> None:
    with pytest.raises(Refusal) as refused:
        load(tiny_model, template__name="lama3")
    assert "llama3" in str(refused.value)
    assert refused.value.option == "template.name"


def test_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no tokenizer") as refused:
        load(tmp_path)
    assert refused.value.fix is not None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {"type": "Nope"}}', "\x00" * 50])
def test_a_broken_tokenizer_is_refused(make_model: Any, content: str) -> None:
    folder = make_model(CHATML)
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(Refusal, match="cannot be read"):
        load(folder)


@pytest.mark.parametrize("template", ["{% if %}", "{{ 1 // 0 }}", "always the same", "{{ messages[0].__class__.x.y }}"])
def test_an_unusable_template_is_refused(make_model: Any, template: str) -> None:
    with pytest.raises(Refusal) as refused:
        load(make_model(template))
    assert refused.value.option == "template.name"


@pytest.mark.parametrize(
    "broken", ["{", "[1]", '{"chat_template": 3, "eos_token": ["x"]}', '{"chat_template": [{"x": 1}]}']
)
def test_odd_configurations_never_crash(make_model: Any, broken: str) -> None:
    folder = make_model(CHATML)
    (folder / "tokenizer_config.json").write_text(broken)
    try:
        encoder = load(folder)
    except Refusal as refused:
        assert refused.fix is not None
    else:
        assert encoder.encode(ROW)


def test_named_templates_and_the_one_for_tools(make_model: Any) -> None:
    with_tools = "{{ tools | tojson }}" + CHATML
    folder = make_model([{"name": "default", "template": CHATML}, {"name": "tool_use", "template": with_tools}])
    encoder = load(folder)
    assert encoder.text(ROW).startswith("<|im_start|>user")
    assert encoder.text(Row(ROW.turns, tools=({"type": "function", "function": {"name": "f"}},))).startswith('[{"type"')


def test_a_template_in_its_own_file_wins(make_model: Any) -> None:
    folder = make_model("never {{ messages[0].content }}")
    (folder / "chat_template.jinja").write_text(CHATML)
    assert load(folder).text(ROW).startswith("<|im_start|>user")


def test_the_recipes_system_prompt_is_for_rows_that_bring_none(make_model: Any) -> None:
    folder = make_model(CHATML)
    prompt = 'It\'s "quoted" \\ and\n{{ braces }}'
    encoder = load(folder, template__system=prompt)
    assert encoder.text(ROW).startswith(f"<|im_start|>system\n{prompt}<|im_end|>\n<|im_start|>user\nHello?")
    own = Row((Turn("system", "Mine."), *ROW.turns))
    assert prompt not in encoder.text(own)
    assert encoder.decode(encoder.prompt(ASK), special=True).startswith(f"<|im_start|>system\n{prompt}")


def test_and_for_registry_templates(tiny_model: Path) -> None:
    encoder = load(tiny_model, template__name="qwen", template__system="Rhyme.")
    assert encoder.text(ROW).startswith("<|im_start|>system\nRhyme.<|im_end|>")


def test_a_template_without_a_place_for_a_system_prompt(make_model: Any) -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
    encoder = load(make_model(refuses))
    assert "system prompt" in said(encoder)
    assert "<|im_start|>user\nMine.\n\nHello?" in encoder.text(Row((Turn("system", "Mine."), *ROW.turns)))


def test_an_answer_without_an_end_is_a_warning(make_model: Any) -> None:
    endless = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    assert "would not learn to stop" in said(load(make_model(endless)))


def test_an_answer_that_the_next_turn_ends(make_model: Any) -> None:
    glm = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    encoder = load(make_model(glm, marks=["<|user|>", "<|assistant|>"], eos_token="<|user|>"))
    turns = (*ROW.turns, Turn("user", "And?"), Turn("assistant", "No."))
    (sequence,) = encoder.encode(Row(turns))
    learned = [piece for piece, trained in zip(sequence.pieces, sequence.trained, strict=True) if trained]
    assert "".join(learned) == "Hi.<|user|>No.<|user|>"
    assert "ends it with <|user|>" in said(encoder)


def test_an_end_that_is_no_token_is_a_warning(tiny_model: Path) -> None:
    assert "no token of this model" in said(load(tiny_model, template__name="gemma"))


def test_a_doubled_begin_token_is_a_warning(make_model: Any) -> None:
    assert "twice" in said(load(make_model("{{ bos_token }}{{ bos_token }}" + CHATML)))
    assert "twice" not in said(load(make_model("{{ bos_token }}" + CHATML)))


def test_the_tokenizers_own_begin_token_is_never_added_to_the_templates(make_model: Any) -> None:
    folder = make_model("{{ bos_token }}" + CHATML)
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    begin = next(token["id"] for token in tokenizer["added_tokens"] if token["content"] == "<s>")
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [begin], "tokens": ["<s>"]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    encoder = load(folder)
    assert encoder.encode(ROW)[0].ids.count(begin) == 1
    assert encoder.prompt(ASK).count(begin) == 1


def test_a_stored_truncation_cuts_nothing(make_model: Any) -> None:
    folder = make_model(CHATML)
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    tokenizer["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    tokenizer["padding"] = None
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    assert len(load(folder).encode(ROW)[0].ids) > 8


def test_a_template_that_is_no_text_is_refused(make_model: Any) -> None:
    folder = make_model(CHATML)
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe{{")
    with pytest.raises(Refusal, match="not UTF-8"):
        load(folder)


def test_padding_that_ends_nothing_is_found(make_model: Any) -> None:
    encoder = load(make_model(CHATML, pad_token="<|im_end|>"))
    assert encoder.pad_id == 0
    assert encoder.special["pad_token"] == "<|endoftext|>"
    assert encoder.pad_id not in encoder.stop_ids


def test_padding_that_ends_an_answer_is_noted(make_model: Any) -> None:
    """Where every token that could pad ends an answer too: other programs would mask the end with the padding."""
    folder = make_model(CHATML, pad_token="<|im_end|>")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 2]}))
    encoder = load(folder)
    assert encoder.pad_id in encoder.stop_ids
    assert [found.level for found in encoder.findings if found.message.id == "conversation.pad_ends"] == ["note"]
    (sequence,) = encoder.encode(Row((Turn("user", "Q"), Turn("assistant", "A"))))
    learned = [token for token, trained in zip(sequence.ids, sequence.trained, strict=True) if trained]
    assert learned[-1] == encoder.pad_id


def test_the_end_of_a_registry_template_becomes_the_tokenizers_own(make_model: Any) -> None:
    encoder = load(make_model(eos_token="</s>"), template__name="llama3")
    assert encoder.eos_token == "<|eot_id|>"
    assert encoder.tokenizer.id_to_token(encoder.stop_ids[0]) == "<|eot_id|>"
    assert "</s>" in [encoder.tokenizer.id_to_token(stop) for stop in encoder.stop_ids]
    kept = load(make_model(eos_token="</s>"), template__name="vicuna")
    assert kept.eos_token == "</s>"


ASKS = "{{ 'Today is ' + strftime_now(\"%d %b %Y\") + '.\n' }}" + CHATML


def test_a_template_that_asks_for_the_date_gets_the_recipes_day_and_keeps_it(make_model: Any) -> None:
    folder = make_model(ASKS)
    today = load(folder)
    assert today.date == date.today().isoformat() and "the exported template keeps it" in said(today)
    then = load(folder, template__date="2024-07-26")
    row = Row((Turn("user", "a"), Turn("assistant", "b")))
    assert then.text(row).startswith("Today is 26 Jul 2024.\n") and then.date == "2024-07-26"
    assert "strftime_now" not in then.chat_template and "26 Jul 2024" in then.chat_template
    assert load(make_model(CHATML)).date is None


def test_the_recipes_cutoff_is_the_encoders(tiny_model: Path) -> None:
    assert load(tiny_model, dataset__cutoff=64).cutoff == 64
    assert load(tiny_model).cutoff is None
    assert load_encoder(tiny_model, Recipe(), cutoff=32).cutoff == 32


def test_an_answer_is_learned_up_to_its_turns_end(make_model: Any) -> None:
    """A mark of the template closes the answer, and the token that ends the turn follows it."""
    marks = ["<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|END_OF_TURN_TOKEN|>"]
    folder = make_model(None, marks=marks, eos_token="<|END_OF_TURN_TOKEN|>")
    encoder = load_encoder(folder, with_values(Recipe(), {"template.name": "tiny_aya"}))
    said = (Turn("user", "Q"), Turn("assistant", "A"), Turn("user", "R"), Turn("assistant", "B"))
    (sequence,) = encoder.encode(Row(said))
    pieces = zip(sequence.pieces, sequence.trained, strict=True)
    learned = "".join(piece for piece, trained in pieces if trained)
    assert learned == "A<|END_RESPONSE|><|END_OF_TURN_TOKEN|>B<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"
    assert encoder.stop_ids[0] == encoder.tokenizer.token_to_id("<|END_OF_TURN_TOKEN|>")
