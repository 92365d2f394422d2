"""The conversation's screen: both sides, streaming, several turns, settings, stop, transcript, at 80x24."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.cells import cell_len
from tests.tui.parrot import Parrot
from textual.widgets import Input, Static

from finetty.backend.conversation import Turn
from finetty.backend.messages import Refusal
from finetty.backend.results import Answer
from finetty.backend.results.exported import Exported
from finetty.backend.runs import Run
from finetty.tui import cli
from finetty.tui.chat import answer_once, converse, print_side_by_side, show_comparison, talked_to
from finetty.tui.conversation import Settings, settings_from, take_setting
from finetty.tui.dashboard_app import DashboardApp
from finetty.tui.screens.chat import ChatApp, ChatScreen
from finetty.tui.screens.load import LoadPrompts
from finetty.tui.screens.runs_list import RunsList
from finetty.tui.widgets.prose import Prose

Make = Callable[..., Any]


def app_on(made_run: Make) -> ChatApp:
    made = made_run()
    return ChatApp(made.run, open_talker=Parrot)  # type: ignore[arg-type]


def column(app: ChatApp, side: str) -> str:
    return str(app.screen.query_one(f"#said-{side}", Static).render())


def title(app: ChatApp) -> str:
    return str(app.screen.query_one("#chat-title", Static).render())


async def ask(pilot: Any, text: str) -> None:
    pilot.app.screen.query_one(Input).value = text
    await pilot.press("enter")
    await pilot.pause()


async def test_both_sides_answer_and_remember(made_run: Make) -> None:
    app = app_on(made_run)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "Loading" in title(app)
        await ask(pilot, "too early")
        assert Parrot.last.asked == []
        Parrot.last.hear({"ready": True})
        await pilot.pause()
        await ask(pilot, "What is [bold]a rank[/]?")
        assert Parrot.last.asked[-1]["base"] is False
        Parrot.last.say("How much ", "it \x1b[31mholds.")
        await pilot.pause()
        assert "How much it \\x1b[31mholds." in column(app, "tuned")
        assert "[bold]a rank[/]?" in column(app, "base")
        Parrot.last.end()
        await pilot.pause()
        assert Parrot.last.asked[-1]["base"] is True
        Parrot.last.say("A position.")
        Parrot.last.end()
        await pilot.pause()
        assert "2.0 a second" in title(app)
        await ask(pilot, "And alpha?")
        assert Parrot.last.asked[-1]["turns"] == [
            ["user", "What is [bold]a rank[/]?"],
            ["assistant", "How much it \x1b[31mholds."],
            ["user", "And alpha?"],
        ]
        await pilot.press("escape")
        assert Parrot.last.stopped == 1
        Parrot.last.end()
        await pilot.pause()
        assert len(Parrot.last.asked) == 3, "the other side is not asked any more"
        await pilot.press("escape")
        await pilot.pause()
    assert Parrot.last.closed


async def test_settings_sides_and_transcript(made_run: Make) -> None:
    app = app_on(made_run)
    async with app.run_test(size=(80, 24)) as pilot:
        Parrot.last.hear({"ready": True})
        await pilot.pause()
        for line in ("/temperature 0.3", "/top-p 0.5", "/longest 77", "/system Be brief."):
            await ask(pilot, line)
        await pilot.press("ctrl+b")
        await ask(pilot, "Why?")
        assert Parrot.last.asked[-1] | {"id": 0} == {
            "id": 0, "base": False, "temperature": 0.3, "top_p": 0.5, "longest": 77,
            "turns": [["system", "Be brief."], ["user", "Why?"]],
        }  # fmt: skip
        assert not app.screen.query_one("#chat-base").display
        Parrot.last.say("Because.")
        Parrot.last.end()
        await pilot.pause()
        await pilot.press("ctrl+s")
        await pilot.pause()
        [path] = (app.talked_to.path / "transcripts").glob("*.md")
        assert "**user**\n\nWhy?\n\n**assistant**\n\nBecause." in path.read_text()
        await pilot.press("ctrl+t")
        await pilot.pause()
        assert "temperature 0.7" in title(app)
        await ask(pilot, "/nonsense")
        assert "/top-p" in title(app)
        await ask(pilot, "/temperature 11")
        assert "temperature is a number from 0 to 10, not 11." in title(app)
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert "Because." not in column(app, "tuned")


async def test_a_model_that_cannot_answer_says_why(made_run: Make) -> None:
    app = app_on(made_run)
    async with app.run_test(size=(80, 24)) as pilot:
        Parrot.last.hear({"ended": "MemoryError"})
        await pilot.pause()
        assert "MemoryError" in title(app)


@pytest.mark.parametrize("line", ["/temperature hot", "/temperature 11", "/top-p 0", "/longest 0", "/what", "/"])
def test_what_is_no_setting_changes_nothing(line: str) -> None:
    settings = Settings()
    with pytest.raises(Refusal):
        take_setting(line, settings)
    assert settings == Settings()


async def test_the_screen_begins_with_what_was_given(made_run: Make) -> None:
    given = {"temperature": "0.4", "top-p": None, "longest": "9", "system": " Be brief. "}
    app = ChatApp(made_run().run, settings_from(given), open_talker=Parrot)  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24)) as pilot:
        Parrot.last.hear({"ready": True})
        await pilot.pause()
        assert "temperature 0.4" in title(app)
        await ask(pilot, "Why?")
        assert Parrot.last.asked[-1] | {"id": 0} == {
            "id": 0, "base": False, "temperature": 0.4, "top_p": 0.95, "longest": 9,
            "turns": [["system", "Be brief."], ["user", "Why?"]],
        }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--temperature", "hot", "temperature is a number from 0 to 10, not hot.\n"),
        ("--temperature", "nan", "temperature is a number from 0 to 10, not nan.\n"),
        ("--top-p", "0", "top-p is a number from 0.01 to 1, not 0.\n"),
        ("--longest", "1.5", "longest is a whole number from 1 to 100000, not 1.5.\n"),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(
    option: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["finetty", "chat", "latest", option, value])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert capsys.readouterr().err == said


async def test_a_list_of_prompts_is_asked_from_within_the_screen(made_run: Make, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("One?\n\n二？\nThree?\n", encoding="utf-8")
    app = app_on(made_run)

    async def answered() -> None:
        Parrot.last.say(f"answer {len(Parrot.last.asked)}")
        Parrot.last.end()
        await pilot.pause()

    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("ctrl+o")
        assert isinstance(app.screen, ChatScreen), "nothing is asked before the model is there"
        Parrot.last.hear({"ready": True})
        await pilot.pause()
        await ask(pilot, "Before?")
        await answered()
        await answered()
        await pilot.press("ctrl+o")
        await pilot.pause()
        assert isinstance(app.screen, LoadPrompts)
        app.screen.query_one(Input).value = str(tmp_path / "none.txt")
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "cannot be read" in str(app.screen.query_one("#saying", Prose).render())
        app.screen.query_one(Input).value = str(path)
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert isinstance(app.screen, ChatScreen)
        assert Parrot.last.asked[-1]["turns"] == [["user", "One?"]], "what was said before is not told"
        assert "prompts left: 2" in title(app)
        await answered()
        await answered()
        assert Parrot.last.asked[-1]["turns"] == [["user", "二？"]] and not Parrot.last.asked[-1]["base"]
        await pilot.press("escape")
        await answered()
        assert len(Parrot.last.asked) == 5, "Esc ends the list with the answer"
        await ask(pilot, "More?")
        assert Parrot.last.asked[-1]["turns"] == [["user", "二？"], ["assistant", "answer 5"], ["user", "More?"]]
        await answered()
        await pilot.press("ctrl+s")
        await pilot.pause()
        [saved] = (app.talked_to.path / "transcripts").glob("*.md")
        assert "Before?" in saved.read_text() and "二？\n\n**assistant**\n\nanswer 5" in saved.read_text()


def test_answers_side_by_side_are_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_side_by_side(Answer("[b]学习率[/]是\x1b什么？", "步长很大。" * 20, "word " * 30 + "\nlast"))
    lines = capsys.readouterr().out.splitlines()
    assert "[b]学习率[/]是\\x1b什么？" in lines[0]
    assert {cell_len(line) for line in lines[1:]} == {60}
    base = "".join(line[1:-1].split("│")[0].strip() for line in lines if line.count("│") == 3)
    assert base == "base" + "步长很大。" * 20
    monkeypatch.setenv("FINETTY_ASCII", "1")
    print_side_by_side(Answer("Why?", "So.", "Thus."))
    assert capsys.readouterr().out.isascii()


async def test_a_merged_model_has_one_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "merged").mkdir()
    app = ChatApp(Exported(tmp_path / "merged", None), open_talker=Parrot)  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24)) as pilot:
        Parrot.last.hear({"ready": True})
        await pilot.pause()
        assert "merged" in title(app)
        assert not app.screen.query_one("#chat-base").display
        await pilot.press("ctrl+b")
        await ask(pilot, "Why?")
        Parrot.last.say("So.")
        Parrot.last.end()
        await pilot.pause()
        assert [one["base"] for one in Parrot.last.asked] == [False]
        await pilot.press("ctrl+s")
        await pilot.pause()
    [saved] = (tmp_path / "state/finetty/transcripts/merged").glob("*.md")
    assert "So." in saved.read_text() and not list((tmp_path / "merged").iterdir())


def test_a_name_is_a_runs_before_it_is_a_folders(
    made_run: Make, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made_run().run
    monkeypatch.setenv("FINETTY_RUNS", str(run.path.parent))
    monkeypatch.chdir(tiny_model.parent)
    for name in ("latest", run.id, str(run.path)):
        assert talked_to(name).path == run.path
    for name in (tiny_model.name, f"./{tiny_model.name}", str(tiny_model)):
        found = talked_to(name)
        assert isinstance(found, Exported) and found.path == tiny_model
    with pytest.raises(Refusal, match="There is no run"):
        talked_to("nothing")
    with pytest.raises(Refusal, match="is an export"):
        show_comparison(talked_to(str(tiny_model)), tmp_path, Settings(), as_json=True, side_by_side=False)


class Echo:
    """In the place of the model of a run: it keeps how it was asked."""

    asked: ClassVar[list[tuple[list[Turn], dict[str, Any]]]] = []

    def __init__(self, _run: Run) -> None:
        self.asked.clear()

    def answer(self, turns: list[Turn], **how: Any) -> Iterator[str]:
        self.asked.append((list(turns), how))
        yield f"answer {len(self.asked)}"


def test_plain_chat_takes_the_settings_of_the_screen(
    made_run: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("finetty.tui.chat.speaker_of", Echo)
    typed = "One?\n/temperature 2\n/top-p 7\n/system Be kind.\n/base\nTwo?\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    run = made_run().run
    converse(run, settings_from({"temperature": "0.5", "top-p": "0.8"}, longest=30), base=False)
    first, second = Echo.asked
    assert first == (
        [Turn("user", "One?")],
        {"base": False, "temperature": 0.5, "top_p": 0.8, "longest": 30},
    )
    assert second == (
        [Turn("system", "Be kind."), Turn("user", "One?"), Turn("assistant", "answer 1"), Turn("user", "Two?")],
        {"base": True, "temperature": 2.0, "top_p": 0.8, "longest": 30},
    )
    out = capsys.readouterr()
    assert "top-p is a number from 0.01 to 1, not 7." in out.err
    assert "answer 1\n" in out.out and "answer 2\n" in out.out
    answer_once(run, "Three?", settings_from({"system": "Short."}, longest=30), base=True)
    assert Echo.asked == [
        (
            [Turn("system", "Short."), Turn("user", "Three?")],
            {"base": True, "temperature": 0.0, "top_p": 0.95, "longest": 30},
        )
    ]
    assert capsys.readouterr().out == "answer 1\n"


async def test_a_finished_run_is_talked_to_from_its_dashboard(made_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChatScreen.__init__, "__kwdefaults__", {"open_talker": Parrot})
    made = made_run()
    made.train(60)
    app = DashboardApp(made.run, owner=False, clock=made.clock)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("t")
        assert not isinstance(app.screen, ChatScreen), "a run that still trains is not talked to"
        made.finish()
        for _ in range(30):
            await pilot.pause(0.1)
            if app.screen.check_action("talk", ()):
                break
        await pilot.press("t")
        await pilot.pause()
        assert isinstance(app.screen, ChatScreen)
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, ChatScreen)


async def test_a_run_is_talked_to_from_the_list(
    made_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChatScreen.__init__, "__kwdefaults__", {"open_talker": Parrot})
    made = made_run()
    made.train(60)
    made.finish()
    app = ChatApp(made.run, open_talker=Parrot)  # type: ignore[arg-type]
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(RunsList(tmp_path))
        for _ in range(30):
            await pilot.pause(0.1)
            if isinstance(app.screen, RunsList) and app.screen.listed:
                break
        await pilot.press("t")
        await pilot.pause()
        assert isinstance(app.screen, ChatScreen)
