"""The wizard by keyboard: every step, back and forth, faults, languages, the start, and keys mashed at random."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from finetty.backend.models.places import PROOF, LocalModel
from finetty.backend.models.sources import DOWNLOADING
from finetty.backend.recipe import Recipe, load_recipe, options, with_values
from finetty.backend.runs import Run
from finetty.tui import language
from finetty.tui.actions import actions
from finetty.tui.app import FinettyApp
from finetty.tui.draft import Draft, draft_path
from finetty.tui.screens import dialogs
from finetty.tui.screens.dialogs import Question, SaveRecipe
from finetty.tui.screens.fit import MakeFit
from finetty.tui.screens.settings import Settings
from finetty.tui.screens.wizard import ORDER, Wizard
from finetty.tui.widgets.field import Field, control_id

from .wizard_pilot import MACHINE, answer, left, paste, settled, shown, wizard

SMALL, LARGE = (80, 24), (120, 40)


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
            assert wizard(pilot).at == step
            await pilot.press("enter")
        assert wizard(pilot).at == "review"
        assert "Start training" in shown(pilot)
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
        assert "LlamaForCausalLM" in shown(pilot)
        assert "hiring someone" in shown(pilot)
        await pilot.press("enter")
        await paste(pilot, "colours.jsonl")
        assert "messages" in shown(pilot)
        assert "40 rows" in shown(pilot)
        assert "What is the colour of the sea" in shown(pilot)
        await pilot.press("enter")
        await settled(pilot)
        assert "smart modules into a house" in shown(pilot)
        await pilot.press("down")
        assert "renovating some of the rooms" in shown(pilot)
        await pilot.press("down")
        assert "pulling the house down" in shown(pilot)
        await pilot.press("enter")
        await settled(pilot)
        assert "<|im_start|>user↵" in shown(pilot)
        assert "«The·sea·is·blue." in shown(pilot)
        await pilot.press("ctrl+n")
        assert "Row 2 of 40" in shown(pilot)


async def test_going_back_keeps_every_answer() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await answer(pilot, "Tiny-Llama-Instruct", "colours.jsonl")
        await pilot.press("down", "tab", "right", "enter")
        await pilot.press("tab")
        await paste(pilot, "Be kind.")
        before = wizard(pilot).state.draft.recipe
        assert before.method.name == "freeze"
        assert before.precision.quantization == "none"
        assert before.template.system == "Be kind."
        for _step in range(3):
            await pilot.press("escape")
        assert wizard(pilot).at == "model"
        await settled(pilot)
        assert "Tiny-Llama-Instruct" in shown(pilot)
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
        assert wizard(pilot).at == "review"
        assert state.plan is not None
        text = pilot.app.screen.query_one("#review-text").render().plain  # type: ignore[union-attr]
        for choice in state.plan.choices:
            assert choice.reason.text == "not used by this method" or language.translate(choice.reason) in text


async def test_a_missing_model_holds_the_step_and_says_why() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await pilot.press("enter")
        assert wizard(pilot).at == "model"
        await paste(pilot, "./not-here")
        await pilot.press("enter")
        assert wizard(pilot).at == "model"
        assert "✗" in shown(pilot)


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
        assert "LlamaForCausalLM" in shown(pilot)
        assert "someone/Tiny" in shown(pilot)
        await pilot.press("tab", "down", "enter")
        assert wizard(pilot).state.draft.recipe.model.path == "someone/Tiny"


async def test_a_model_of_the_hub_is_downloaded_on_enter_and_read(
    home: Path, answered: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def arrive(path: str, revision: str | None, report: Any) -> Path:
        report(DOWNLOADING(path=path, size=1))
        folder = home.parent / "cache" / "finetty" / "models" / path.replace("/", "--")
        shutil.copytree(home / "Tiny-Llama-Instruct", folder)
        (folder / PROOF).write_text("{}")
        return folder

    monkeypatch.setattr("finetty.backend.models.fetch", arrive)
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "someone/Tiny")
        assert "not on this machine" in shown(pilot)
        assert "↵ downloads it now" in shown(pilot)
        await pilot.press("enter")
        while not wizard(pilot).state.known.model.facts:
            await settled(pilot)
        assert "LlamaForCausalLM" in shown(pilot)
        await pilot.press("enter")
        assert wizard(pilot).at == "data"


async def test_a_download_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetty.backend.models.sources.hub_reachable", lambda *_a: False)
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "someone/Tiny")
        await pilot.press("enter")
        while wizard(pilot).state.fetching is not None:
            await settled(pilot)
        assert "cannot be reached" in shown(pilot)


async def test_words_find_models_of_the_catalogue_and_enter_takes_one() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await paste(pilot, "qwen3 1.7b bsae")
        assert "Qwen/Qwen3-1.7B-Base" in shown(pilot)
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
        assert wizard(pilot).at == "model"
        assert "↵ downloads it now" in shown(pilot)


async def test_the_list_is_narrowed_by_a_tag_and_by_what_fits_here() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "qwen2.5 coder")
        assert "Qwen/Qwen2.5-Coder-32B-Instruct" in shown(pilot)
        assert "Qwen/Qwen2.5-Coder-0.5B " in shown(pilot)
        await pilot.press("ctrl+f")
        await settled(pilot)
        assert "Qwen/Qwen2.5-Coder-32B" not in shown(pilot)
        assert "that fit this machine" in shown(pilot)
        await pilot.press("ctrl+t")
        await settled(pilot)
        await pilot.press("down", "enter")
        await settled(pilot)
        assert wizard(pilot).state.wanted.tag == "Instruct"
        assert "Qwen/Qwen2.5-Coder-0.5B-Instruct" in shown(pilot)
        assert "Qwen/Qwen2.5-Coder-0.5B " not in shown(pilot)
        await pilot.press("ctrl+f")
        await settled(pilot)
        assert "Qwen/Qwen2.5-Coder-32B-Instruct" in shown(pilot)


async def test_a_folder_that_is_typed_narrows_nothing_and_is_read() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await paste(pilot, "Tiny-Llama-Instruct")
        assert "LlamaForCausalLM" in shown(pilot)
        assert "the first 60 models" in shown(pilot)
        await pilot.press("enter")
        assert wizard(pilot).at == "data"


async def test_a_quantized_checkpoint_is_said_to_be_of_no_use() -> None:
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "Qwen3-8B-AWQ")
        await pilot.press("enter")
        await settled(pilot)
        assert "quantized already (awq)" in shown(pilot)
        await pilot.press("ctrl+f")
        await settled(pilot)
        assert "Qwen/Qwen3-8B-AWQ " not in shown(pilot)


async def test_a_broken_line_is_named_with_its_place(home: Path) -> None:
    (home / "broken.jsonl").write_text('{"messages": []}\n{oh\n')
    app = FinettyApp(start="new")
    async with app.run_test(size=LARGE) as pilot:
        await settled(pilot)
        await paste(pilot, "Tiny-Llama-Instruct")
        await pilot.press("enter")
        await paste(pilot, "broken.jsonl")
        assert "broken.jsonl:2" in shown(pilot)


async def test_the_start_is_refused_and_leads_to_the_fault(answered: Recipe) -> None:
    app = FinettyApp(draft=with_values(answered, {"dataset.train": [{"path": "gone.jsonl"}]}), start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        assert wizard(pilot).at == "review"
        assert "to mend first" in shown(pilot)
        await pilot.press("enter")
        await settled(pilot)
        assert wizard(pilot).at == "data"
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
        assert wizard(pilot).at == "method"
        assert app.focused is not None
        assert app.focused.id == focused
        assert wizard(pilot).state.draft.recipe == before
        await pilot.press("f2")
        assert "What is trained" in shown(pilot)


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
        assert "[red]hi[/red] \\x1b[31m" in shown(pilot)
        assert "\\u202eabc" in shown(pilot)
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
        assert wizard(pilot).at == "review"
        assert wizard(pilot).state.plan.memory.verdict == "over"  # type: ignore[union-attr]
        assert "F3 makes it fit" in shown(pilot)
        await pilot.press("f3")
        await settled(pilot)
        dialog = app.screen
        assert isinstance(dialog, MakeFit)
        assert "2048 → " in shown(pilot)
        assert "goes through in" in shown(pilot)
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
        assert "✓ fits on Xeon" in shown(pilot)
        await pilot.press("escape", "f3")
        assert app.screen is wizard(pilot)


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
        assert language._(options()["method.rank"].help) in shown(pilot)
        await pilot.press("escape", "escape")
        await settled(pilot)
        said = {command.help for command in app.get_system_commands(app.screen)}
        wanted = {action.help for action in actions("wizard", "everywhere") if action.name != "command_palette"}
        assert wanted <= said


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
        "f1",
        "f2",
        "pageup",
        "pagedown",
    ],
    *"abny0123.,-/~#{}[]:",
]


@pytest.mark.parametrize("seed", [1, 2])
async def test_mashed_keys_never_crash_start_or_lose(
    seed: int, answered: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogs, "SETTLED", 60.0)
    monkeypatch.setattr(Run, "create", lambda *_a, **_k: pytest.fail("a run was started"))
    keys = random.Random(seed)
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        for _key in range(200):
            await pilot.press(keys.choice(KEYS))
            for screen in app.screen_stack:
                if isinstance(screen, Wizard):
                    draft = screen.state.draft
                    assert Draft.kept(draft_path()).recipe == draft.anchored
                    assert screen.at in ORDER
        assert app.is_running
    assert app.return_value is None


@pytest.mark.parametrize("seed", [3])
async def test_moving_about_changes_no_answer(seed: int, answered: Recipe) -> None:
    moves = ["enter", "escape", "tab", "shift+tab", "ctrl+r", "ctrl+o", "ctrl+g", "ctrl+n", "f1", "f2", "pagedown"]
    keys = random.Random(seed)
    app = FinettyApp(draft=answered, start="new")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        before = wizard(pilot).state.draft.anchored
        for _key in range(120):
            await pilot.press(keys.choice(moves))
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
