"""The template in Ollama's language writes what the trained one writes; one that it cannot say is refused."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from finetty.backend.conversation import Encoder, Turn, load_encoder, template_names
from finetty.backend.messages import Refusal
from finetty.backend.recipe import parse_recipe, with_values
from finetty.backend.results.ollama import modelfile, pieces

TURNS = [Turn("user", "One?"), Turn("assistant", "Two."), Turn("user", "Three?")]


def encoder_for(model: Path, template: str, **options: object) -> Encoder:
    recipe = parse_recipe(f"finetty: 1\nmodel: {{path: '{model}'}}\n")
    return load_encoder(model, with_values(recipe, {"template.name": template, **options}))


def filled_in(template: str, turns: list[Turn]) -> str:
    """The part of Go's template language that a Modelfile uses, read by Jinja."""
    for go, own in (
        ('{{ "{{" }}', "{{ '{{' }}"),
        ("{{ if .System }}", "{% if system %}"),
        ("{{ .System }}", "{{ system }}"),
        ('{{ if eq .Role "user" }}', "{% if turn.role == 'user' %}"),
        ('{{ else if eq .Role "assistant" }}', "{% elif turn.role == 'assistant' %}"),
        ("{{ .Content }}", "{{ turn.content }}"),
        ("{{ range .Messages }}", "{% for turn in messages %}"),
        ("{{ else }}", "{% else %}"),
        ("{{ end }}{{ end }}", "{% endif %}{% endfor %}"),
        ("{{ end }}", "{% endif %}"),
    ):
        template = template.replace(go, own)
    system = next((turn.content for turn in turns if turn.role == "system"), "")
    environment = jinja2.Environment(keep_trailing_newline=True, autoescape=False)
    return environment.from_string(template).render(system=system, messages=turns)


@pytest.mark.parametrize("name", ["own", "chatml", "llama2", "llama3", "qwen3", "gemma3", "phi4", "default", "vicuna"])
def test_the_go_template_writes_the_trained_text(tiny_model: Path, name: str) -> None:
    encoder = encoder_for(tiny_model, name)
    template = pieces(encoder).go_template()
    conversations = [TURNS[:1], TURNS]
    if pieces(encoder).system:
        conversations += [[Turn("system", "Be brief."), *turns] for turns in list(conversations)]
    for turns in conversations:
        assert filled_in(template, turns) == encoder.renderer.prompt(turns), turns


def test_the_recipes_system_prompt_is_in_it(tiny_model: Path) -> None:
    encoder = encoder_for(tiny_model, "chatml", **{"template.system": "Speak of {{ colours }}."})
    template = pieces(encoder).go_template()
    assert filled_in(template, TURNS) == encoder.renderer.prompt(TURNS)
    assert "Speak of" in template


def test_a_modelfile_names_file_template_and_stop(tiny_model: Path) -> None:
    text = modelfile(encoder_for(tiny_model, "own"), Path("/elsewhere/helper-q8_0.gguf"))
    assert text.startswith('FROM ./helper-q8_0.gguf\nTEMPLATE """')
    assert 'PARAMETER stop "<|im_end|>"' in text


def test_almost_every_template_can_be_said_and_the_rest_is_refused(tiny_model: Path) -> None:
    unsaid = []
    for named in template_names():
        try:
            pieces(encoder_for(tiny_model, named.name))
        except Refusal as refusal:
            assert "cannot say" in str(refusal)
            unsaid.append(named.name)
    assert sorted(unsaid) == ["ministral", "mistral", "pixtral"], "these put the system prompt into the last question"
