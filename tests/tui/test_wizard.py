"""The wizard by keyboard: every step, back and forth, faults, languages, the start, and keys mashed at random."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from textual import events

from finetty.backend.dataset import Progress, Rows, read_rows
from finetty.backend.demo import RECIPE as DEMO_RECIPE
from finetty.backend.machine.facts import Accelerator, GpuFacts
from finetty.backend.messages import Refusal, message
from finetty.backend.models.download import DOWNLOADING
from finetty.backend.models.places import DEMO_MODEL, PROOF, LocalModel
from finetty.backend.planning.largest import largest
from finetty.backend.planning.numbers import UNUSED
from finetty.backend.recipe import Recipe, load_recipe, options, parse_recipe, save_recipe, with_values
from finetty.backend.runs import Run
from finetty.tui import language
from finetty.tui.actions import actions
from finetty.tui.app import FinettyApp
from finetty.tui.draft import Draft, draft_path
from finetty.tui.exact import ExactFigure
from finetty.tui.screens import dialogs
from finetty.tui.screens.compare_settings import CompareSettings
from finetty.tui.screens.dialogs import Question, SaveRecipe
from finetty.tui.screens.fit import MakeFit
from finetty.tui.screens.load import LoadRecipe
from finetty.tui.screens.preview import Preview
from finetty.tui.screens.review import method_words
from finetty.tui.screens.settings import Settings
from finetty.tui.screens.standing import ORDER
from finetty.tui.screens.wizard import Wizard
from finetty.tui.text import size
from finetty.tui.weighing import Weighing
from finetty.tui.widgets.cards import MethodCards
from finetty.tui.widgets.field import Entry, Field, control_id
from finetty.tui.widgets.prose import Prose

from .looking import sees, shown, until
from .mashing import COUNTS, struck
from .wizard_pilot import MACHINE, answer, left, paste, said, settled, wizard

SMALL, LARGE = (80, 24), (120, 40)
FIELD_AT_FAULT = message("tests.field_at_fault", "That name is taken.")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, tiny_model: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a model and data in it, a state folder of its own, and a machine that is always the same."""
    for variable, folder in (("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache"), ("HF_HOME", "hub")):
        monkeypatch.setenv(variable, str(tmp_path / folder))
    for variable in ("FINETTY_RUNS", "NO_COLOR", "HF_HUB_CACHE", "FINETTY_HOLDER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLORTERM", "truecolor")
    work = tmp_path / "work"
    work.mkdir()
    shutil.copytree(tiny_model, work / "Tiny-Llama-Instruct")
    shutil.copy(tiny_data, work / "colours.jsonl")
    monkeypatch.chdir(work)
    monkeypatch.setattr("finetty.backend.machine.machine_facts", lambda *_arguments: MACHINE)
    monkeypatch.setattr(Wizard, "typing_pause", 0)
    monkeypatch.setattr(ExactFigure, "pause", None)
    monkeypatch.setattr(Weighing, "pause", 0)
    monkeypatch.setattr(dialogs, "SETTLED", 0.01)
    return work


@pytest.fixture
def answered(home: Path) -> Recipe:
    """A recipe whose model and data are there."""
    recipe = with_values(Recipe(), {"model.path": "Tiny-Llama-Instruct"})
    return with_values(recipe, {"dataset.train": [{"path": "colours.jsonl"}]})


async def test_a_run_is_started_by_keyboard_alone() -> None:
    app = FinettyApp()
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await pilot.press("down", "enter")
        await settled(pilot)
        await answer(pilot, "Tiny-Llama-Instruct", "colours.jsonl")
        for step in ("method", "template", "acceleration"):
            assert wizard(pilot).standing.at == step
            await pilot.press("enter")
        assert wizard(pilot).standing.at == "review"
        await sees(pilot, "Start training")
        await pilot.press("enter")
        assert isinstance(app.screen, Question)
        await pilot.press("y")
        await left(pilot)
    run = app.return_value
    assert isinstance(run, Run)
    assert run.status().state == "queued"
    assert Path(run.recipe().model.path).is_absolute()
    assert run.plan_document()["recipe"]["method"]["rank"] != "auto"


async def test_each_step_says_what_is_known_and_what_it_means() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "Tiny-Llama-Instruct")
        await sees(pilot, "LlamaForCausalLM")
        await sees(pilot, "hiring someone")
        await pilot.press("enter")
        await paste(pilot, "colours.jsonl")
        await sees(pilot, "messages")
        await sees(pilot, "40 rows")
        await sees(pilot, "What is the colour of the sea")
        await pilot.press("enter")
        await settled(pilot)
        await sees(pilot, "smart modules into a house")
        await sees(pilot, "★ Recommended here: LoRA")
        await pilot.press("down")
        await settled(pilot)
        await until(pilot, lambda: "an MP3 instead of a FLAC" in said(pilot, "#meaning"))
        await until(pilot, lambda: "★ Recommended here instead: LoRA" in said(pilot, "#advice"))
        await pilot.press("down")
        await sees(pilot, "renovating some of the rooms")
        await pilot.press("down")
        await sees(pilot, "pulling the house down")
        await pilot.press("enter")
        await settled(pilot)
        await sees(pilot, "<|im_start|>user↵")
        await sees(pilot, "«The·sea·is·blue.")
        await pilot.press("ctrl+n")
        await sees(pilot, "Row 2 of 40")


async def test_the_cards_say_what_each_method_takes_here_and_choose_method_and_bits_together() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await answer(pilot, "Tiny-Llama-Instruct", "colours.jsonl")
        cards = app.screen.query_one(MethodCards)
        assert list(cards.plans) == ["lora", "qlora", "freeze", "full"]
        lines = [line for line in shown(pilot).splitlines() if "trains " in line and "from " in line]
        assert [line.split()[1] for line in lines] == ["LoRA", "QLoRA", "Freeze", "Full"]
        assert "LoRA ★" in lines[0]
        assert "(100%)" in lines[3]
        full = cards.plans["full"].memory.live
        assert full is not None
        assert size(full.process) in lines[3]
        for keys, method, bits in (("down", "lora", "nf4"), ("down", "freeze", "auto"), ("up", "lora", "nf4")):
            await pilot.press(keys)
            recipe = wizard(pilot).state.draft.recipe
            assert (recipe.method.name, recipe.precision.quantization) == (method, bits)
        await pilot.press("up", "up")
        assert wizard(pilot).state.draft.recipe.precision.quantization == "none"
        assert app.focused is not cards
    async with FinettyApp(start="new").run_test(size=LARGE) as pilot:
        await settled(pilot)
        await pilot.press("enter", "enter")
        await settled(pilot)
        text = shown(pilot)
        for word in ("over 99% fewer", "the least", "efficient,", "the best", "a slightly", "very high"):
            assert word in text


async def test_what_16_bits_leave_no_room_for_is_recommended_in_4(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = {**MACHINE.accelerators, "unsloth": Accelerator("unsloth", "2026.10")}
    little = GpuFacts(0, "GPU-0", "Little card", 12 << 30, 11 << 30, (8, 6))
    machine = replace(MACHINE, gpus=(little,), gpu_reason=None, accelerators=libraries)
    monkeypatch.setattr("finetty.backend.machine.machine_facts", lambda *_arguments: machine)
    recipe = with_values(Recipe(), {"model.path": "Qwen/Qwen3-8B", "dataset.train": [{"path": "colours.jsonl"}]})
    app = FinettyApp(draft=recipe, start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await wizard(pilot).open_step("method")
        await settled(pilot)
        await sees(pilot, "◉ QLoRA ★")
        await until(
            pilot, lambda: "★ Recommended here: QLoRA · LoRA in 16 bits needs at least" in said(pilot, "#advice")
        )
        await wizard(pilot).open_step("acceleration", "acceleration.unsloth")
        await settled(pilot)
        await until(pilot, lambda: "★ Recommended here instead: yes · memory is short here" in said(pilot, "#advice"))


async def test_going_back_keeps_every_answer() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await answer(pilot, "Tiny-Llama-Instruct", "colours.jsonl")
        await pilot.press("down", "down", "tab", "right", "enter")
        await pilot.press("tab")
        await paste(pilot, "Be kind.")
        before = wizard(pilot).state.draft.recipe
        assert before.method.name == "freeze"
        assert before.precision.quantization == "none"
        assert before.template.system == "Be kind."
        for _step in range(3):
            await pilot.press("escape")
        assert wizard(pilot).standing.at == "model"
        await settled(pilot)
        await sees(pilot, "Tiny-Llama-Instruct")
        await pilot.press("enter", "enter", "enter", "enter")
        assert wizard(pilot).state.draft.recipe == before
        await pilot.press(*["escape"] * 5)
        await settled(pilot)
        await pilot.press("n")
        await settled(pilot)
        kept = wizard(pilot).state.draft.recipe
        assert (kept.method.name, kept.template.system) == ("freeze", "Be kind.")


async def test_answers_outlive_a_crash(answered: Recipe) -> None:
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        wizard(pilot).take("method.rank", 8)
    draft = Draft.kept(draft_path())
    assert draft.value("method.rank") == 8
    assert Path(draft.recipe.model.path).is_dir()


async def test_one_key_goes_to_the_review_with_everything_automatic() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await paste(pilot, "Tiny-Llama-Instruct")
        await pilot.press("enter")
        await paste(pilot, "colours.jsonl")
        await pilot.press("ctrl+r")
        await settled(pilot)
        state = wizard(pilot).state
        assert wizard(pilot).standing.at == "review"
        assert state.plan is not None
        text = pilot.app.screen.query_one("#review-text").render().plain  # type: ignore[union-attr]
        used = [one for one in state.plan.choices if one.value is not None and one.reason.id != UNUSED.id]
        assert len(used) > 5
        for choice in used:
            assert language.translate(choice.reason) in text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"precision.quantization": "none"}, "LoRA"),
        ({"precision.quantization": "nf4"}, "QLoRA · nf4"),
        ({"precision.quantization": "int8"}, "LoRA · int8"),
        ({"method.name": "freeze"}, "Freeze"),
    ],
)
def test_the_review_names_the_method_as_the_guide_does(values: dict[str, str], words: str) -> None:
    assert method_words(with_values(parse_recipe("finetty: 1\nmodel: {path: here}\n"), values)) == words


async def test_a_missing_model_holds_the_step_and_says_why() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await pilot.press("enter")
        assert wizard(pilot).standing.at == "model"
        await paste(pilot, "./not-here")
        await pilot.press("enter")
        assert wizard(pilot).standing.at == "model"
        await sees(pilot, "✗")


async def test_what_is_typed_while_the_machine_is_looked_at_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, looked = Event(), Event()

    def slowly() -> list[LocalModel]:
        looked.set()
        found.wait(10)
        return [LocalModel("someone/Tiny", home / "Tiny-Llama-Instruct", 1 << 20)]

    monkeypatch.setattr("finetty.backend.models.local_models", slowly)
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press(*"Tiny-")
        assert looked.wait(10)
        found.set()
        await settled(pilot)
        await pilot.press(*"Llama-Instruct")
        await settled(pilot)
        await sees(pilot, "LlamaForCausalLM")
        await sees(pilot, "someone/Tiny")
        await pilot.press("tab", "down", "enter")
        assert wizard(pilot).state.draft.recipe.model.path == "someone/Tiny"


async def test_a_model_of_the_hub_is_downloaded_on_enter_and_read(
    home: Path, answered: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def arrive(path: str, revision: str | None, report: Any, source: str) -> Path:
        report(DOWNLOADING(path=path, host="huggingface.co", size=1.0))
        folder = home.parent / "cache" / "finetty" / "models" / path.replace("/", "--")
        shutil.copytree(home / "Tiny-Llama-Instruct", folder)
        (folder / PROOF).write_text("{}")
        return folder

    monkeypatch.setattr("finetty.backend.models.fetch", arrive)
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "someone/Tiny")
        await sees(pilot, "not on this machine")
        await sees(pilot, "↵ downloads it now, while you go on")
        await pilot.press("enter")
        assert wizard(pilot).standing.at == "data"
        while not wizard(pilot).state.known.model.facts:
            await settled(pilot)
        await pilot.press("escape")
        await sees(pilot, "LlamaForCausalLM")


@pytest.fixture
def slow_download(home: Path, monkeypatch: pytest.MonkeyPatch) -> Event:
    """A download of the demo's model that says how far it is and ends when the event is set."""
    arrived = Event()

    def arrive(path: str, revision: str | None, report: Any, source: str) -> Path:
        report(DOWNLOADING(path=path, host="huggingface.co", size=270.0))
        assert arrived.wait(30)
        folder = home.parent / "cache" / "finetty" / "models" / path.replace("/", "--")
        shutil.copytree(home / "Tiny-Llama-Instruct", folder)
        (folder / PROOF).write_text("{}")
        return folder

    monkeypatch.setattr("finetty.backend.models.fetch", arrive)
    return arrived


async def test_the_demo_brings_its_model_by_itself_while_the_person_reads_on(slow_download: Event) -> None:
    app = FinettyApp(draft=load_recipe(DEMO_RECIPE), start="demo")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await sees(pilot, "Downloading HuggingFaceTB/SmolLM2-135M-Instruct from huggingface.co")
        await pilot.press(*["enter"] * 5)
        assert wizard(pilot).standing.at == "review"
        assert wizard(pilot).state.plan.memory.live is not None  # type: ignore[union-attr]
        assert not wizard(pilot).state.errors
        slow_download.set()
        while not wizard(pilot).state.known.model.facts:
            await settled(pilot)
        await settled(pilot)
        await sees(pilot, "▶ Start training")


async def test_the_review_downloads_what_alone_is_missing_and_goes_on(answered: Recipe, slow_download: Event) -> None:
    app = FinettyApp(draft=with_values(answered, {"model.path": DEMO_MODEL}), start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await sees(pilot, "Download the model, then start")
        await pilot.press("enter")
        await settled(pilot)
        assert wizard(pilot).standing.at == "review"
        await sees(pilot, "270.0 MB")
        slow_download.set()
        while not isinstance(app.screen, Question):
            await settled(pilot)
        await sees(pilot, "Start training?")


async def test_a_download_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetty.backend.models.sources.hub_reachable", lambda *_a: False)
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "someone/Tiny")
        await pilot.press("enter")
        while wizard(pilot).state.fetching is not None:
            await settled(pilot)
        await pilot.press("escape")
        await sees(pilot, "cannot be reached")
        assert wizard(pilot).state.can_fetch


async def test_words_find_models_of_the_catalogue_and_enter_takes_one() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await paste(pilot, "qwen3 1.7b bsae")
        await sees(pilot, "Qwen/Qwen3-1.7B-Base")
        assert "bloom" not in shown(pilot)
        await pilot.press("enter")
        await settled(pilot)
        text = shown(pilot)
        assert "1.7B parameters · 32,768 tokens of context · apache-2.0" in text
        assert "LoRA ≈ " in text
        assert "Tuned to follow" not in text
        await pilot.press("enter")
        await settled(pilot)
        assert wizard(pilot).state.draft.recipe.model.path == "Qwen/Qwen3-1.7B-Base"
        assert wizard(pilot).standing.at == "model"
        await sees(pilot, "↵ downloads it, ≈ ")


async def test_the_list_is_narrowed_by_a_tag_and_by_what_fits_here() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "qwen2.5 coder")
        await sees(pilot, "Qwen/Qwen2.5-Coder-32B-Instruct")
        await sees(pilot, "Qwen/Qwen2.5-Coder-0.5B ")
        await pilot.press("ctrl+f")
        await settled(pilot)
        assert "Qwen/Qwen2.5-Coder-32B" not in shown(pilot)
        await sees(pilot, "that fit this machine")
        await pilot.press("ctrl+t")
        await settled(pilot)
        await pilot.press("down", "enter")
        await settled(pilot)
        assert wizard(pilot).state.wanted.tag == "Instruct"
        await sees(pilot, "Qwen/Qwen2.5-Coder-0.5B-Instruct")
        assert "Qwen/Qwen2.5-Coder-0.5B " not in shown(pilot)
        await pilot.press("ctrl+f")
        await settled(pilot)
        await sees(pilot, "Qwen/Qwen2.5-Coder-32B-Instruct")


async def test_a_folder_that_is_typed_narrows_nothing_and_is_read() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await paste(pilot, "Tiny-Llama-Instruct")
        await sees(pilot, "LlamaForCausalLM")
        await sees(pilot, "the first 60 models")
        await pilot.press("enter")
        assert wizard(pilot).standing.at == "data"


async def test_a_quantized_checkpoint_is_said_to_be_of_no_use() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "Qwen3-8B-AWQ")
        await pilot.press("enter")
        await settled(pilot)
        await sees(pilot, "quantized already (awq)")
        await pilot.press("ctrl+f")
        await settled(pilot)
        assert "Qwen/Qwen3-8B-AWQ " not in shown(pilot)


async def test_a_long_file_shows_its_first_rows_while_the_others_are_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = '{{"messages": [{{"role": "user", "content": "ask {n}"}}, {{"role": "assistant", "content": "say {n}"}}]}}\n'
    (home / "long.jsonl").write_text("".join(row.format(n=number) for number in range(2_000)))
    begun, go_on = Event(), Event()

    def slowly(recipe: Recipe, report: Any) -> Rows:
        begun.set()
        report(Progress(34, 100, 700))
        assert go_on.wait(30)
        return read_rows(recipe, report)

    monkeypatch.setattr("finetty.backend.dataset.read_rows", slowly)
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "Tiny-Llama-Instruct")
        await pilot.press("enter")
        assert app.focused is not None
        app.focused.post_message(events.Paste("long.jsonl"))
        while not begun.is_set():
            await pilot.pause(0.01)
        await pilot.pause(0.1)
        await sees(pilot, "the first 500 rows")
        await sees(pilot, "reading … 34%, 700 rows so far")
        await sees(pilot, "ask 0")
        assert not wizard(pilot).state.errors
        await pilot.press("enter")
        assert wizard(pilot).standing.at == "method"
        go_on.set()
        await settled(pilot)
        assert wizard(pilot).state.known.data.facts.rows == 2_000  # type: ignore[union-attr]


async def test_the_preview_shows_any_row_and_its_difference_to_the_own_template(answered: Recipe) -> None:
    app = FinettyApp(draft=with_values(answered, {"template.name": "vicuna"}), start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await pilot.press("f4")
        await settled(pilot)
        preview = app.screen
        assert isinstance(preview, Preview)
        await sees(pilot, "Row 1 of 40")
        await sees(pilot, "«·The·sea·is·blue.<|im_end|>»")
        await sees(pilot, "− <|im_start|>")
        lengths = preview.lengths
        assert lengths is not None
        await pilot.press("l")
        assert lengths[preview.at] == max(lengths)
        await pilot.press("s")
        assert lengths[preview.at] == min(lengths)
        await pilot.press("t")
        await settled(pilot)
        row = preview.rows[preview.at]
        first = next(iter(preview.encoder.encode_rows([row]))).sequences[0]
        await sees(pilot, f" {first.ids[0]}   ")
        preview.cutoff = max(lengths) - 1
        await pilot.press("c")
        assert lengths[preview.at] == max(lengths)
        await pilot.press("f1")
        await settled(pilot)
        keys = [line.strip(" │") for line in shown(pilot).splitlines()]
        assert sum("Show the next row of your data." in line for line in keys) == 1
        assert not any("columns" in line for line in keys)
        await pilot.press("escape", "escape")
        assert app.screen is wizard(pilot)


async def test_the_first_screen_names_the_largest_models_that_fit() -> None:
    app = FinettyApp()
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        found = largest(MACHINE)
        assert found["LoRA"].parameters < found["QLoRA"].parameters  # type: ignore[operator]
        await sees(pilot, "The largest model that fits: LoRA ")
        await sees(pilot, str(found["QLoRA"].hub).rsplit("/", 1)[-1])
        await sees(pilot, "Check this machine")


async def test_an_expert_starts_a_recipe_in_few_keys(answered: Recipe) -> None:
    app = FinettyApp(draft=answered, start="new")
    keys = ["ctrl+o", *"rank", "tab", "8", "escape", "enter", "y"]
    assert len(keys) < 20
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)
        await left(pilot)
    assert isinstance(app.return_value, Run)
    assert app.return_value.recipe().method.rank == 8


async def test_from_the_start_an_expert_loads_a_recipe_and_starts_it_in_under_20_keys(
    answered: Recipe, home: Path
) -> None:
    save_recipe(with_values(answered, {"method.rank": 12}), home / "mine.yaml")
    app = FinettyApp()
    keys = ["n", "ctrl+l", "m", "right", "enter", "enter", "y"]
    assert len(keys) < 20
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)
        await left(pilot)
    assert isinstance(app.return_value, Run)
    assert app.return_value.recipe().method.rank == 12


async def test_a_loaded_recipe_takes_the_answers_place_and_they_can_be_had_back(answered: Recipe, home: Path) -> None:
    (home / "recipes").mkdir()
    save_recipe(with_values(answered, {"method.name": "freeze"}), home / "recipes" / "other.yaml")
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await answer(pilot, "Tiny-Llama-Instruct", "colours.jsonl")
        wizard(pilot).take("method.rank", 77)
        before = wizard(pilot).state.draft.anchored
        await pilot.press("ctrl+l")
        await settled(pilot)
        assert isinstance(app.screen, LoadRecipe)
        await sees(pilot, "recipes/")
        assert "colours.jsonl" not in app.screen.names
        await pilot.press(*"rec")
        await settled(pilot)
        await pilot.press("down", "enter")
        await settled(pilot)
        await pilot.press("down", "enter")
        await settled(pilot)
        assert wizard(pilot).standing.at == "review"
        assert wizard(pilot).state.draft.recipe.method.name == "freeze"
        for expected in (before.method, "freeze", before.method):
            await pilot.press("f7")
            await settled(pilot)
            method = wizard(pilot).state.draft.recipe.method
            assert expected in (method, method.name)
        assert Draft.kept(draft_path()).recipe == before


async def test_a_recipe_that_is_refused_is_named_with_its_line_and_nothing_is_lost(
    answered: Recipe, home: Path
) -> None:
    (home / "wrong.yaml").write_text("finetty: 1\nmethod:\n  rankk: 8\n")
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        before = wizard(pilot).state.draft.recipe
        await pilot.press("ctrl+l", *"wrong.yaml", "enter")
        await settled(pilot)
        assert isinstance(app.screen, LoadRecipe)
        await until(
            pilot, lambda: "wrong.yaml:3: There is no option method.rankk. Did you mean rank?" in said(pilot, "#saying")
        )
        await until(pilot, lambda: "↵ again takes the rest" in said(pilot, "#saying"))
        await pilot.press("f2")
        await settled(pilot)
        assert app.screen.typed == "wrong.yaml"
        await pilot.press("escape")
        assert wizard(pilot).state.draft.recipe == before


async def test_two_settings_stand_side_by_side_and_one_is_taken(answered: Recipe) -> None:
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await pilot.press("f5")
        kept = wizard(pilot).state.kept
        assert kept is not None
        assert kept.plan is wizard(pilot).state.plan
        await until(pilot, lambda: "A is kept: F5 compares" in said(pilot, "#outlook"))
        wizard(pilot).take_all({"method.name": "freeze", "training.epochs": 7})
        await settled(pilot)
        await pilot.press("f5")
        await settled(pilot)
        assert isinstance(app.screen, CompareSettings)
        text = said(pilot, "#comparison")
        lines = {line[:16].strip(): line[17:].split() for line in text.splitlines()}
        assert lines["Method"] == ["LoRA", "Freeze"]
        assert lines["Epochs"] == ["3", "7"]
        assert "Template" not in lines
        plans = (kept.plan, wizard(pilot).state.plan)
        assert all(plan is not None and size(plan.memory.live.process) in text for plan in plans)  # type: ignore[union-attr]
        await pilot.press("escape")
        assert wizard(pilot).state.kept is kept
        await pilot.press("f5")
        await settled(pilot)
        await pilot.press("a")
        await settled(pilot)
        assert wizard(pilot).state.draft.recipe == kept.recipe
        assert wizard(pilot).state.plan == kept.plan
        assert wizard(pilot).state.kept is None


async def test_a_broken_line_is_named_with_its_place(home: Path) -> None:
    (home / "broken.jsonl").write_text('{"messages": []}\n{oh\n')
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "Tiny-Llama-Instruct")
        await pilot.press("enter")
        await paste(pilot, "broken.jsonl")
        await sees(pilot, "broken.jsonl:2")


async def test_the_start_is_refused_and_leads_to_the_fault(answered: Recipe) -> None:
    app = FinettyApp(draft=with_values(answered, {"dataset.train": [{"path": "gone.jsonl"}]}), start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        assert wizard(pilot).standing.at == "review"
        await sees(pilot, "to mend first")
        await pilot.press("enter")
        await settled(pilot)
        assert wizard(pilot).standing.at == "data"
        assert app.focused is not None
        assert app.focused.id == control_id("dataset.train")
    assert app.return_value is None


async def test_after_a_failed_start_the_field_at_fault_has_the_focus(answered: Recipe) -> None:
    app = FinettyApp(draft=answered, start="new", fault="training.micro_batch")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        assert isinstance(app.screen, Settings)
        assert app.focused is not None
        assert app.focused.id == control_id("training.micro_batch")


async def test_the_reason_stands_beside_the_field_at_fault_until_it_is_answered_anew(answered: Recipe) -> None:
    app = FinettyApp(draft=answered, start="new", fault="method.rank", why="It was too much for the card.")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        assert app.focused is not None
        assert app.focused.id == control_id("method.rank")
        assert said(pilot, "#advice").startswith("✗ It was too much for the card.")
        await pilot.press("8")
        await settled(pilot)
        assert "too much" not in said(pilot, "#advice")
        assert wizard(pilot).state.draft.recipe == with_values(answered, {"method.rank": 8})


async def test_of_a_recipe_that_is_refused_the_rest_is_taken_and_the_fault_has_the_focus(
    answered: Recipe, home: Path
) -> None:
    save_recipe(with_values(answered, {"training.epochs": 4}), home / "wrong.yaml")
    with (home / "wrong.yaml").open("a") as file:
        file.write("method:\n  rank: lots\n  dora: true\n  rankk: 8\n")
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+l", *"wrong.yaml", "enter")
        await settled(pilot)
        await until(
            pilot, lambda: "method.rank cannot be lots: expected auto or a whole number" in said(pilot, "#saying")
        )
        await until(pilot, lambda: "There is no option method.rankk" in said(pilot, "#saying"))
        await pilot.press("enter")
        await settled(pilot)
        draft = wizard(pilot).state.draft
        assert (draft.recipe.training.epochs, draft.recipe.method.dora) == (4, True)
        assert draft.text("method.rank") == "lots"
        assert app.focused is not None
        assert app.focused.id == control_id("method.rank")
        assert wizard(pilot).state.errors[0].option == "method.rank"


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        ("model.path", "model"),
        ("dataset.train", "data"),
        ("template.name", "template"),
        ("acceleration.unsloth", "acceleration"),
    ],
)
async def test_after_a_failure_the_step_of_its_option_is_open_with_every_answer(
    fault: str, step: str, answered: Recipe
) -> None:
    recipe = with_values(answered, {"method.rank": 5, "training.epochs": 2})
    app = FinettyApp(draft=recipe, start="new", fault=fault, why="So it was.")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        assert wizard(pilot).standing.at == step
        assert app.focused is not None
        assert app.focused.id == control_id(fault)
        await until(pilot, lambda: "So it was." in said(pilot, "#advice"))
        assert wizard(pilot).state.draft.recipe == recipe


async def test_a_start_that_is_refused_leads_to_the_option_that_it_names(
    answered: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any, **_named: Any) -> Run:
        raise Refusal(FIELD_AT_FAULT(), option="output.name")

    monkeypatch.setattr(Run, "create", refuse)
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await pilot.press("enter", "y")
        await settled(pilot)
        await pilot.pause(0.1)
        await settled(pilot)
        assert isinstance(app.screen, Settings)
        assert app.focused is not None
        assert app.focused.id == control_id("output.name")
        assert wizard(pilot).state.draft.recipe == answered


async def test_every_field_says_beside_it_what_is_wrong_as_it_is_typed(answered: Recipe) -> None:
    wrong = {
        "dataset.train": "[{path: 3}]",
        "dataset.validation": "7000",
        "dataset.cutoff": "-4",
        "hardware.devices": "7",
        "method.targets": "[no_such_layer]",
        "template.name": "no such template",
        "template.date": "yesterday",
        "output.samples": "{a: b}",
        "output.logs": "[paper]",
        "method.modules": "{a: b}",
        "method.extra_modules": "{a: b}",
    }
    free_text = {"model.path", "model.revision", "template.system", "output.name"}
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+o")
        await settled(pilot)
        fields = [field for field in app.screen.query(Field) if isinstance(field.control, Entry)]
        for field in fields:
            if field.option in free_text:
                continue
            before = wizard(pilot).state.draft.text(field.option)
            wizard(pilot).take_text(field.option, wrong.get(field.option, "nonsense"))
            note = field.query_one(".note", Prose)
            await until(pilot, lambda note=note: note.has_class("-fault"))
            assert note.render().plain.startswith("✗ "), field.option  # type: ignore[union-attr]
            assert len(app.screen_stack) == 3, "no dialog"
            wizard(pilot).take_text(field.option, before)
            await until(pilot, lambda note=note: not note.has_class("-fault"))
        assert len(fields) > 25


async def test_what_is_no_value_yet_is_kept_and_keeps_the_run_from_starting(answered: Recipe) -> None:
    app = FinettyApp(draft=answered, start="new", fault="method.rank")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await pilot.press("x", "y", "z")
        draft = wizard(pilot).state.draft
        assert draft.recipe.method.rank == "auto"
        assert draft.text("method.rank") == "xyz"
        await pilot.press("enter", "f2", "f2")
        assert draft.text("method.rank") == "xyz"
        assert any(found.option == "method.rank" for found in wizard(pilot).state.errors)
        wizard(pilot).take_text("method.rank", "12")
        assert draft.recipe.method.rank == 12
        assert not any(found.option == "method.rank" for found in wizard(pilot).state.errors)


async def test_the_settings_have_a_field_for_every_option(answered: Recipe) -> None:
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+o")
        await settled(pilot)
        assert [field.option for field in app.screen.query(Field)] == list(options())
        await pilot.press(*"epochs")
        assert [field.option for field in app.screen.query(Field) if field.display] == ["training.epochs"]
        await pilot.press("tab", "5", "escape")
        assert wizard(pilot).state.draft.recipe.training.epochs == 5
        assert app.screen is wizard(pilot)


async def test_a_change_of_language_keeps_step_focus_and_answers(answered: Recipe) -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await answer(pilot, "Tiny-Llama-Instruct", "colours.jsonl")
        await pilot.press("down", "tab")
        focused = app.focused.id if app.focused else None
        before = wizard(pilot).state.draft.recipe
        await pilot.press("f2")
        await settled(pilot)
        assert language.language() == "zh_CN"
        assert "给房子" in shown(pilot) or "量化" in shown(pilot)
        assert wizard(pilot).standing.at == "method"
        assert app.focused is not None
        assert app.focused.id == focused
        assert wizard(pilot).state.draft.recipe == before
        await pilot.press("f2")
        await sees(pilot, "What is trained")


async def test_a_recipe_is_saved_under_a_name_and_never_over_another_unasked(answered: Recipe, home: Path) -> None:
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        (home / "recipe.yaml").write_text("mine")
        await pilot.press("ctrl+s", "enter")
        assert isinstance(app.screen, SaveRecipe)
        assert (home / "recipe.yaml").read_text() == "mine"
        await pilot.press("enter")
        await settled(pilot)
    assert load_recipe(home / "recipe.yaml").model.path == str(home / "Tiny-Llama-Instruct")


async def test_a_given_recipe_does_not_destroy_the_answers_of_last_time(answered: Recipe) -> None:
    mine = Draft(with_values(answered, {"method.rank": 99}), draft_path())
    mine.save()
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
    assert Draft.kept(draft_path("draft.before")).value("method.rank") == 99


async def test_strange_text_is_shown_as_text(home: Path) -> None:
    (home / "odd.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "[red]hi[/red] \\u001b[31m <|im_end|>"}, '
        '{"role": "assistant", "content": "\\u202eabc [link=x]"}]}\n'
        * 1
        + '{"messages": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]}\n'
    )
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await answer(pilot, "Tiny-Llama-Instruct", "odd.jsonl")
        await pilot.press("escape")
        await settled(pilot)
        await sees(pilot, "[red]hi[/red] \\x1b[31m")
        await sees(pilot, "\\u202eabc")
        assert "\x1b" not in shown(pilot)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a quarter of the memory that this run would take as it was asked for."""
    machine = replace(MACHINE, ram_total=1 << 30, ram_available=900 << 20)
    monkeypatch.setattr("finetty.backend.machine.machine_facts", lambda *_arguments: machine)


@pytest.fixture
def too_large(answered: Recipe, little_memory: None) -> Recipe:
    asked = {"training.batch": 2048, "training.micro_batch": 2048, "training.gradient_checkpointing": False}
    return with_values(answered, asked)


async def test_a_key_makes_a_run_fit_change_by_change(too_large: Recipe) -> None:
    app = FinettyApp(draft=too_large, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        assert wizard(pilot).standing.at == "review"
        assert wizard(pilot).state.plan.memory.verdict == "over"  # type: ignore[union-attr]
        await sees(pilot, "F3 makes it fit")
        await pilot.press("f3")
        await settled(pilot)
        dialog = app.screen
        assert isinstance(dialog, MakeFit)
        await sees(pilot, "2048 → ")
        await sees(pilot, "goes through in")
        first = dialog.changes[0] if dialog.changes else None
        assert first is not None
        await pilot.press("enter")
        await settled(pilot)
        recipe = wizard(pilot).state.draft.recipe
        assert recipe.training.micro_batch == first.values["training.micro_batch"]
        assert recipe.training.batch == 2048
        await pilot.press("escape")
        assert app.screen is wizard(pilot)


async def test_all_changes_at_once_leave_a_run_that_fits(too_large: Recipe) -> None:
    app = FinettyApp(draft=with_values(too_large, {"method.name": "full"}), start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await pilot.press("f3")
        await settled(pilot)
        await pilot.press("a")
        await settled(pilot)
        assert wizard(pilot).state.plan.memory.verdict == "fits"  # type: ignore[union-attr]
        await sees(pilot, "✓ fits on Xeon")
        await pilot.press("escape", "f3")
        assert app.screen is wizard(pilot)


@pytest.mark.parametrize("step", ["model", "data"])
@pytest.mark.parametrize("typed", ["~nobodyhere/x", "x" * 300])
async def test_what_is_typed_may_be_no_path_at_all(step: str, typed: str, answered: Recipe) -> None:
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        option = {"model": "model.path", "data": "dataset.train"}[step]
        wizard(pilot).state.draft.set_data_file(0, typed) if step == "data" else wizard(pilot).take_text(option, typed)
        wizard(pilot).changed()
        await settled(pilot)
        assert [one.level for one in wizard(pilot).state.findings_for(option)] == ["error"]


async def test_a_recipe_is_neither_saved_nor_loaded_at_a_user_who_is_not_there(answered: Recipe) -> None:
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        for dialog in (SaveRecipe(answered, "~nobodyhere/x.yaml"), SaveRecipe(answered, "x" * 300), LoadRecipe()):
            app.push_screen(dialog)
            await pilot.pause()
            if isinstance(dialog, LoadRecipe):
                await pilot.press(*"~nobodyhere")
            await pilot.press("enter")
            await pilot.pause()
            assert app.screen is dialog
            assert str(dialog.query_one("#saying").render())
            await pilot.press("escape")
            await pilot.pause()


async def test_leaving_asks(answered: Recipe) -> None:
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+c")
        assert isinstance(app.screen, Question)
        await pilot.press("escape")
        assert isinstance(app.screen, Wizard)
        await pilot.press("ctrl+c", "y")
        await left(pilot)
        assert not app.is_running
    assert app.return_value is None


async def test_help_explains_the_focused_part_and_the_palette_knows_every_action(answered: Recipe) -> None:
    app = FinettyApp(draft=answered, start="new", fault="method.rank")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await pilot.press("f1")
        await settled(pilot)
        await sees(pilot, language._(options()["method.rank"].help))
        await pilot.press("escape", "escape")
        await settled(pilot)
        said = {command.help for command in app.get_system_commands(app.screen)}
        idle = {"command_palette", "make_fit", "answers_before"}  # with nothing to do here
        possible = {action.help for action in actions("wizard", "everywhere") if action.name not in idle}
        assert possible <= said
        assert not said & {action.help for action in actions("wizard") if action.name in idle}
        labels = [command.title for command in app.get_system_commands(app.screen)]
        assert sorted(labels) == sorted(set(labels))


@pytest.mark.parametrize("place", ["model", "data", "template", "review"])
def test_no_key_does_two_things_in_a_step(place: Any) -> None:
    own = [key for action in actions(place) for key in action.key.split(",")]
    others = [key for action in actions("wizard", "everywhere") for key in action.key.split(",")]
    assert len(others) == len(set(others))
    assert set(own) & set(others) <= {"enter"}


KEYS = [
    *[
        "enter",
        "escape",
        "tab",
        "shift+tab",
        "up",
        "down",
        "left",
        "right",
        "space",
        "backspace",
        "delete",
        "home",
        "end",
    ],
    *[
        "ctrl+r",
        "ctrl+o",
        "ctrl+s",
        "ctrl+g",
        "ctrl+n",
        "ctrl+b",
        "ctrl+c",
        "ctrl+p",
        "ctrl+f",
        "ctrl+t",
        "f3",
        "f4",
        "f5",
        "f8",
        "f7",
        "ctrl+l",
        "f1",
        "f2",
        "pageup",
        "pagedown",
    ],
    *"abny0123.,-/~#{}[]:",
]


@pytest.mark.parametrize("count", COUNTS)
async def test_mashed_keys_never_crash_start_or_lose(
    count: int, answered: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogs, "SETTLED", 60.0)
    monkeypatch.setattr(Run, "create", lambda *_a, **_k: pytest.fail("a run was started"))
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        async for _key in struck(pilot, KEYS, count, seed=1):
            for screen in app.screen_stack:
                if isinstance(screen, Wizard):
                    draft = screen.state.draft
                    assert Draft.kept(draft_path()).recipe == draft.anchored
                    assert screen.standing.at in ORDER
        assert app.is_running
    assert app.return_value is None


@pytest.mark.parametrize("count", COUNTS)
async def test_moving_about_changes_no_answer(count: int, answered: Recipe) -> None:
    moves = ["enter", "escape", "tab", "shift+tab", "ctrl+r", "ctrl+o", "ctrl+g", "ctrl+n", "f1", "f2", "pagedown"]
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        before = wizard(pilot).state.draft.anchored
        async for _key in struck(pilot, moves, count, seed=3):
            pass
        await settled(pilot)
    assert Draft.kept(draft_path()).recipe == before


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "120x40"])
@pytest.mark.parametrize("name", ["en", "zh_CN"])
@pytest.mark.parametrize("step", ["home", *ORDER, "settings"])
def test_every_step_looks_as_it_should(
    step: str, name: str, size: tuple[int, int], answered: Recipe, snap_compare: Any
) -> None:
    language.set_language(name)
    app = FinettyApp(draft=answered, start="home" if step == "home" else "new")

    async def go(pilot: Any) -> None:
        await settled(pilot)
        if step == "settings":
            await pilot.press("ctrl+o")
        elif step != "home":
            await wizard(pilot).open_step(step)
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=go)
