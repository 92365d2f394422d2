"""The guided set-up by keyboard: each step, back and forth, commands on consent, tokens, and keys mashed at random."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.models.hub_server import Site, serving
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from finetty.backend.machine import accelerators, mounts
from finetty.backend.machine.facts import Accelerator, GpuFacts, MachineFacts
from finetty.backend.machine.mending import Lack, held_path
from finetty.backend.machine.mounts import LAYER, LITTLE, Place
from finetty.backend.settings import OURS, SAID_BY, Settings, apply, kept_settings
from finetty.tui import language, launcher
from finetty.tui.app import FinettyApp
from finetty.tui.screens import dialogs
from finetty.tui.screens.dialogs import Question
from finetty.tui.screens.home import Home
from finetty.tui.screens.setup import SetUp
from finetty.tui.screens.setup.command_pane import CommandPane
from finetty.tui.screens.wizard import Wizard
from finetty.tui.styles.themes import suitable_theme

from .looking import sees, shown, until
from .mashing import COUNTS, struck
from .wizard_pilot import GB, MACHINE, paste, settled

SMALL, LARGE = (80, 24), (120, 40)
STEPS = ("look", "machine", "place", "source", "demo")
TOKEN = "hf_thisIsNoRealTokenOfAnybody"
CARD = GpuFacts(0, "GPU-0", "NVIDIA GeForce RTX 4090", 24 * GB, 23 * GB, (8, 9))
MISSING = {
    name: Accelerator(name, None, f"{package} is not installed", accelerators.INSTALL[name])
    for name, package in accelerators.PACKAGES.items()
} | {"bitsandbytes": Accelerator("bitsandbytes", "0.50.2")}
RENTED = replace(
    MACHINE, gpus=(CARD,), driver="580.95.05", torch_version="2.13.0", torch_cuda="13.0", accelerators=MISSING
)


@pytest.fixture(autouse=True)
def rental(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A rented machine that finetty has never been started on: a home on the overlay, a volume, one card."""
    for name in (*(one for names in SAID_BY.values() for one in names), OURS, "HF_TOKEN", "HF_TOKEN_PATH", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / ("config" if "XDG" in name else "")))
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setattr("finetty.backend.machine.machine_facts", lambda *_arguments: RENTED)
    monkeypatch.setattr("finetty.backend.machine.mending.look_again", lambda: RENTED)
    monkeypatch.setattr("finetty.backend.machine.torch_here.card_fault", lambda: None)
    monkeypatch.setattr(mounts, "places", lambda: PLACES)
    monkeypatch.setattr(dialogs, "SETTLED", 0.01)
    monkeypatch.setattr("finetty.backend.machine.mending.sys.executable", "/opt/finetty/bin/python", raising=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    yield tmp_path
    apply(Settings())


PLACES = (
    Place(Path("/workspace/finetty"), "/workspace", "ext4", 412 * GB, 500 * GB, False, True, True),
    Place(
        Path("/root"), "/", "overlay", 18 * GB, 20 * GB, True, False, True,
        (LAYER(filesystem="overlay"), LITTLE(free=18 * GB)),
    ),
)  # fmt: skip


@asynccontextmanager
async def set_up(step: str = "look", size: tuple[int, int] = SMALL) -> AsyncIterator[Pilot[Any]]:
    app = FinettyApp(start="setup")
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        await go_to(pilot, step)
        yield pilot


async def go_to(pilot: Pilot[Any], step: str) -> None:
    for _step in range(STEPS.index(step) - at(pilot)):
        await pilot.press("ctrl+n")
        await settled(pilot)


def flat(pilot: Pilot[Any]) -> str:
    """The screen's text in one line, without the borders."""
    return " ".join(shown(pilot).replace("│", " ").split())


def at(pilot: Pilot[Any]) -> int:
    screen = pilot.app.screen
    assert isinstance(screen, SetUp)
    return screen.at


def command(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Each lack is mended by this program instead of pip."""
    python = str(Path(sys.prefix) / "bin" / "python")
    monkeypatch.setattr(Lack, "command", property(lambda _self: (python, "-c", code)))


@pytest.mark.parametrize(("kept", "start"), [(None, "setup"), ('{"set_up": true}', "home"), ("{", "setup")])
def test_the_very_first_start_opens_it(
    kept: str | None, start: str, rental: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(launcher, "open_app", opened.append)
    path = rental / "home" / "config" / "finetty" / "settings.json"
    path.parent.mkdir(parents=True)
    if kept is not None:
        path.write_text(kept)
    launcher.command_line([])
    assert opened == [start]


async def test_it_is_found_again_from_the_first_screen_and_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    app = FinettyApp()
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        await sees(pilot, "s Set up")
        assert any(one.title == "Set up" for one in app.get_system_commands(app.screen))
        await pilot.press("s")
        await settled(pilot)
        assert isinstance(app.screen, SetUp) and not kept_settings().set_up
        monkeypatch.setattr("finetty.backend.machine.machine_facts", lambda *_: replace(RENTED, disk_free=99 * GB))
        await pilot.press("escape")
        await settled(pilot)
        assert isinstance(app.screen, Home) and kept_settings() == Settings(set_up=True)
        assert "99.0 GB of disk free" in flat(pilot)


async def test_language_and_colours_are_seen_at_once_and_kept() -> None:
    async with set_up() as pilot:
        assert pilot.app.theme == "finetty-dark"
        await pilot.press("right")
        await settled(pilot)
        await sees(pilot, "欢迎")
        assert kept_settings().language == "zh_CN"
        assert os.environ["FINETTY_LANG"] == "zh_CN"
        await pilot.press("down", "right")
        await settled(pilot)
        assert pilot.app.theme == "finetty-light" and kept_settings().theme == "finetty-light"
        await pilot.press("f2")
        await settled(pilot)
        await sees(pilot, "Welcome")
        assert kept_settings().language == "en"
    async with FinettyApp().run_test() as pilot:
        assert pilot.app.theme == "finetty-light"


@pytest.mark.parametrize(
    ("environment", "theme"),
    [
        ({"FINETTY_THEME": "finetty-light", "COLORTERM": "truecolor"}, "finetty-light"),
        ({"FINETTY_THEME": "finetty-16", "COLORTERM": "truecolor"}, "finetty-16"),
        ({"FINETTY_THEME": "finetty-16", "NO_COLOR": "1"}, "finetty-dark"),
        ({"FINETTY_THEME": "of another version", "COLORTERM": "truecolor"}, "finetty-dark"),
    ],
)
def test_a_theme_that_was_chosen_is_taken_where_it_can_be(environment: dict[str, str], theme: str) -> None:
    assert suitable_theme(environment) == theme


async def test_what_is_lacking_is_said_with_its_command() -> None:
    async with set_up("machine", LARGE) as pilot:
        text = shown(pilot)
        assert "RTX 4090" in text and "2.13.0 · CUDA 13.0" in text and "0.50.2" in text
        assert "Go on; nothing here is needed to train" in text
        await pilot.press("down", "down")
        await until(pilot, lambda: "pip install --constraint" in flat(pilot))
        await until(pilot, lambda: "--no-deps unsloth unsloth_zoo" in flat(pilot))
        await pilot.press("up", "up", "enter")
        await settled(pilot)
        assert at(pilot) == STEPS.index("place")


async def test_no_command_runs_without_a_yes_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetty.tui.screens.setup.command_pane.Running", lambda *_: pytest.fail("it was run"))
    async with set_up("machine") as pilot:
        await pilot.press("down", "down", "enter")
        await settled(pilot)
        assert isinstance(pilot.app.screen, Question)
        text = flat(pilot)
        assert "/opt/finetty/bin/python -m pip install --constraint" in text and "unsloth unsloth_zoo" in text
        for key in ("enter", "space", "right", "n"):
            await pilot.press(key)
        await settled(pilot)
        assert isinstance(pilot.app.screen, SetUp)
        assert "torch==" in held_path().read_text() and "unsloth" not in held_path().read_text()


async def test_an_agreed_command_shows_its_output_and_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, "print('\\x1b[31mred [bold]markup[/]\\x1b[0m\\x07'); print('10%\\r99%\\rall of it')")
    looked: list[bool] = []
    after = replace(RENTED, accelerators={**MISSING, "kernels": Accelerator("kernels", "0.16.3")})
    monkeypatch.setattr("finetty.backend.machine.mending.look_again", lambda: looked.append(True) or after)
    async with set_up("machine") as pilot:
        await pilot.press("down", "enter")
        await settled(pilot)
        await pilot.press("y")
        await ended(pilot)
        text = shown(pilot)
        assert "red [bold]markup[/]\\x07" in text and "│ all of it" in text and "│ 99%" not in text
        assert "It is done: exit code 0." in text
        await pilot.app.run_action("language")
        await settled(pilot)
        await sees(pilot, "退出码 0", "all of it")
        await pilot.app.run_action("language")
        await pilot.press("enter")
        await settled(pilot)
        await sees(pilot, "kernels was installed.")
        assert looked == [True]


async def test_what_is_installed_and_does_not_work_is_not_called_good(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, "")
    broken = Accelerator("kernels", None, "version 0.16.3 does not import: undefined symbol", "pip install kernels")
    after = replace(RENTED, accelerators={**MISSING, "kernels": broken})
    monkeypatch.setattr("finetty.backend.machine.mending.look_again", lambda: after)
    async with set_up("machine", LARGE) as pilot:
        await pilot.press("down", "enter")
        await settled(pilot)
        await pilot.press("y")
        await ended(pilot)
        await pilot.press("enter")
        await settled(pilot)
        await sees(pilot, "version 0.16.3 does not import: undefined symbol")
        assert "was installed" not in shown(pilot)


async def test_a_torch_that_does_not_see_the_card_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetty.backend.machine.torch_here.card_fault", lambda: "no CUDA-capable device is detected")
    async with set_up("machine", LARGE) as pilot:
        await until(pilot, lambda: "no CUDA-capable device is detected" in flat(pilot))
        await sees(pilot, "Go on without it; it can be done later")


async def test_an_older_look_that_answers_later_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, go_on = count(1), Event()

    def look(*_arguments: object) -> MachineFacts:
        first = next(looks) == 1
        if first:
            go_on.wait(20)
        return replace(RENTED, hostname="older" if first else "newer")

    monkeypatch.setattr("finetty.backend.machine.machine_facts", look)
    monkeypatch.setattr("finetty.backend.machine.torch_here.card_fault", lambda: "older" if go_on.is_set() else "newer")
    app = FinettyApp(start="setup")
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: isinstance(app.screen, SetUp) and app.screen.looks == 1)
        screen = app.screen
        assert isinstance(screen, SetUp)
        await screen.open_step(STEPS.index("machine"))
        await until(pilot, lambda: screen.state.blind == "newer")
        go_on.set()
        await settled(pilot)
        assert screen.state.blind == "newer"
        assert screen.state.machine is not None and screen.state.machine.hostname == "newer"


async def test_a_command_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, "import sys; sys.exit('no room left')")
    async with set_up("machine") as pilot:
        await pilot.press("down", "enter")
        await settled(pilot)
        await pilot.press("y")
        await ended(pilot)
        await sees(pilot, "no room left", "It failed: exit code 1.")
        await pilot.press("escape")
        await settled(pilot)
        await sees(pilot, "was not installed: exit code 1")


async def test_a_command_is_cancelled_with_all_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    command(monkeypatch, sleeper)
    async with set_up("machine") as pilot:
        await pilot.press("down", "enter")
        await settled_but_running(pilot)
        await pilot.press("y")
        await until(pilot, lambda: isinstance(pilot.app.screen, CommandPane) and pilot.app.screen.lines != [])
        pane = pilot.app.screen
        assert isinstance(pane, CommandPane)
        child = int(pane.lines[0])
        await pilot.press("enter")
        assert pilot.app.screen is pane, "Enter leaves only what has ended"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Question))
        await pilot.press("y")
        await ended(pilot)
        await sees(pilot, "It was cancelled: exit code")
        await until(pilot, lambda: not is_there(child))


async def test_an_app_that_ends_ends_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    async with set_up("machine") as pilot:
        await pilot.press("down", "enter")
        await settled_but_running(pilot)
        await pilot.press("y")
        await until(pilot, lambda: isinstance(pilot.app.screen, CommandPane) and pilot.app.screen.lines != [])
        pane = pilot.app.screen
        assert isinstance(pane, CommandPane)
        child = int(pane.lines[0])
        pilot.app.exit()
    assert not is_there(child)


async def test_the_volume_is_proposed_and_what_is_chosen_holds() -> None:
    async with set_up("place") as pilot:
        text = shown(pilot)
        assert "proposed  /workspace/finetty  ext4 · 412 GB of 500 GB free" in text
        assert "as usual" in text and "Neither memory nor a container" in text
        await pilot.press("down")
        await until(pilot, lambda: "all of it is gone once the rental is stopped" in flat(pilot))
        await pilot.press("up", "enter")
        await settled(pilot)
        assert at(pilot) == STEPS.index("source")
        assert kept_settings().folder == "/workspace/finetty"
        assert os.environ["FINETTY_RUNS"] == "/workspace/finetty/runs"
        await pilot.press("escape")
        await settled(pilot)
        await sees(pilot, "/workspace/finetty/hub  chosen here")
        await pilot.press("down", "enter")
        await settled(pilot)
        assert kept_settings().folder is None and "FINETTY_RUNS" not in os.environ


async def test_a_folder_of_ones_own_is_looked_at_first(rental: Path) -> None:
    (rental / "mine").mkdir()
    async with set_up("place", LARGE) as pilot:
        await pilot.press("down", "down")
        await paste(pilot, "/proc/nowhere")
        await pilot.press("enter")
        await settled(pilot)
        await sees(pilot, "/proc/nowhere cannot be written")
        assert kept_settings().folder is None
        await pilot.press(*["backspace"] * len("/proc/nowhere"))
        await paste(pilot, str(rental / "mine"))
        await pilot.press("enter")
        await settled(pilot)
        assert pilot.app.screen.query_one("#places", OptionList).has_focus
        await pilot.press("enter")
        await settled(pilot)
        assert kept_settings().folder == str(rental / "mine") and list((rental / "mine").iterdir()) == []


async def test_what_the_environment_decides_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETTY_RUNS", "/data/runs")
    monkeypatch.setenv("HF_HOME", "/data/hf")
    async with set_up("place", LARGE) as pilot:
        text = shown(pilot)
        assert "/data/runs  FINETTY_RUNS says so" in text and "/data/hf/hub  HF_HOME says so" in text
        assert "FINETTY_RUNS, HF_HOME of your environment go before" in text
        await pilot.press("enter")
        await settled(pilot)
        assert os.environ["FINETTY_RUNS"] == "/data/runs" and kept_settings().folder == "/workspace/finetty"


async def test_a_mirror_and_modelscope_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    asked: list[str] = []
    monkeypatch.setattr(
        "finetty.backend.models.sources.reachable", lambda site: asked.append(site) or "mirror" in site
    )  # fmt: skip
    async with set_up("source", LARGE) as pilot:
        await sees(pilot, "✗ huggingface.co does not answer")
        await pilot.press("right", "down")
        await paste(pilot, "hf-mirror.example")
        await sees(pilot, "an address, as https://")
        assert kept_settings().mirror is None
        await pilot.press("home")
        await paste(pilot, "https://")
        await pilot.press("enter")
        await settled(pilot)
        assert kept_settings().mirror == "https://hf-mirror.example" == os.environ["HF_ENDPOINT"]
        await sees(pilot, "✓ hf-mirror.example answers")
        assert "https://hf-mirror.example" in asked
        await pilot.press("up", "up", "right")
        await settled(pilot)
        assert (kept_settings().mirror, kept_settings().source) == (None, "modelscope")
        assert os.environ["FINETTY_SOURCE"] == "modelscope" and "HF_ENDPOINT" not in os.environ
        await pilot.press("left")
        await settled(pilot)
        assert kept_settings().mirror == "https://hf-mirror.example", "what was typed is still there"


async def test_a_token_is_masked_checked_and_kept_where_the_hub_reads_it(
    rental: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("finetty.backend.models.sources.reachable", lambda _site: True)
    monkeypatch.setattr("sys.executable", str(Path(sys.prefix) / "bin" / "python"))
    with serving(Site({}, tokens={TOKEN: "ada"})) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        async with set_up("source", LARGE) as pilot:
            await pilot.press("down")
            await paste(pilot, "hf_wrongOne")
            assert "hf_wrong" not in shown(pilot)
            await pilot.press("enter")
            await sees(pilot, "does not know this token")
            await pilot.press(*["backspace"] * len("hf_wrongOne"))
            await paste(pilot, TOKEN)
            for _language in range(2):
                await pilot.press("f2")
                await settled(pilot)
            await until(pilot, lambda: isinstance(pilot.app.focused, Input))
            assert TOKEN not in shown(pilot)
            await pilot.press("enter")
            await until(pilot, lambda: "it is ada's" in flat(pilot) and "one is kept here" in flat(pilot))
            await pilot.press("enter")
            await settled(pilot)
            assert at(pilot) == STEPS.index("demo")
    assert (rental / "home" / ".cache" / "huggingface" / "token").read_text() == TOKEN
    assert not any(TOKEN in path.read_text(errors="replace") for path in (rental / "home" / "config").rglob("*.json"))


async def test_it_ends_with_the_demo() -> None:
    async with set_up("demo") as pilot:
        await sees(pilot, "Start with the demo")
        await pilot.press("enter")
        await pilot.pause()
        await until(pilot, lambda: isinstance(pilot.app.screen, Wizard))
        await sees(pilot, "SmolLM2-135M-Instruct")
        assert kept_settings().set_up


async def test_esc_loses_nothing_that_was_typed() -> None:
    async with set_up("place", LARGE) as pilot:
        await pilot.press("down", "down")
        await paste(pilot, "/some/where")
        await pilot.press("ctrl+n")
        await settled(pilot)
        await pilot.press("down")
        await paste(pilot, TOKEN)
        for _step in range(2):
            await pilot.press("escape")
            await settled(pilot)
        assert at(pilot) == STEPS.index("machine")
        await go_to(pilot, "place")
        await sees(pilot, "/some/where")
        await go_to(pilot, "source")
        await sees(pilot, "•" * len(TOKEN))


async def test_settings_that_cannot_be_kept_hold_and_say_so(rental: Path) -> None:
    (rental / "home" / "config").write_text("a file where the folder should be")
    async with set_up("place", LARGE) as pilot:
        await pilot.press("enter")
        await settled(pilot)
        assert os.environ["FINETTY_RUNS"] == "/workspace/finetty/runs"
        await pilot.press("escape")
        await settled(pilot)
        await sees(pilot, "/workspace/finetty/runs  chosen here")


NAMED_KEYS = (
    "enter escape tab shift+tab up down left right space backspace home end f1 f2 ctrl+n ctrl+p ctrl+c pageup y n q"
)
KEYS = [*NAMED_KEYS.split(), *"abc/.~-0123:漢"]


@pytest.mark.parametrize("count", COUNTS)
async def test_mashed_keys_never_crash_and_never_run_a_command(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogs, "SETTLED", 60.0)
    monkeypatch.setattr("finetty.tui.screens.setup.command_pane.Running", lambda *_: pytest.fail("it was run"))
    monkeypatch.setattr("finetty.backend.models.login._asked", lambda _token: {"refused": True})
    monkeypatch.setattr("finetty.backend.models.sources.fetch", lambda *_a, **_k: pytest.fail("it was downloaded"))
    monkeypatch.setattr(FinettyApp, "open_demo", FinettyApp.open_set_up)
    monkeypatch.setattr(FinettyApp, "open_wizard", FinettyApp.open_set_up)
    app = FinettyApp(start="setup")
    async with app.run_test(size=SMALL) as pilot:
        await settled(pilot)
        async for _key in struck(pilot, KEYS, count, seed=0):
            assert not any(isinstance(screen, CommandPane) for screen in app.screen_stack)
            if isinstance(app.screen, Home):
                await pilot.press("s")
        assert app.is_running
        kept = kept_settings()
        assert kept.language in (None, "en", "zh_CN")


@pytest.mark.parametrize("step", STEPS)
async def test_ascii_is_ascii(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETTY_ASCII", "1")
    async with set_up(step) as pilot:
        names = {"look": "简体中文"}.get(step, "")
        text = shown(pilot).replace(names, "").replace("中文/English", "")
        assert [one for one in text if not one.isascii()] == []


@pytest.mark.usefixtures("named_folders")
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "120x40"])
@pytest.mark.parametrize("name", ["en", "zh_CN"])
@pytest.mark.parametrize("step", STEPS)
def test_every_step_looks_as_it_should(step: str, name: str, size: tuple[int, int], snap_compare: Any) -> None:
    assert snap_compare(picture(name), terminal_size=size, run_before=walk(step))


@pytest.mark.usefixtures("named_folders")
@pytest.mark.parametrize("step", ["machine", "place"])
def test_every_step_looks_as_it_should_in_ascii(step: str, snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETTY_ASCII", "1")
    assert snap_compare(picture("en"), terminal_size=SMALL, run_before=walk(step))


@pytest.mark.usefixtures("named_folders")
def test_a_command_looks_as_it_should(snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = r"Collecting liger-kernel\nInstalling collected packages: liger-kernel\n"
    monkeypatch.setattr(Lack, "command", property(lambda _self: ("printf", lines)))
    monkeypatch.setattr("finetty.tui.screens.setup.command_pane.join", lambda _command: "python -m pip install it")

    async def run(pilot: Pilot[Any]) -> None:
        await walk("machine")(pilot)
        await pilot.press("down", "enter")
        await settled(pilot)
        await pilot.press("y")
        await ended(pilot)

    assert snap_compare(picture("en"), terminal_size=SMALL, run_before=run)


@pytest.fixture
def named_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders whose names are the same wherever the tests run."""
    for variable in ("FINETTY_RUNS", "HF_HUB_CACHE", "FINETTY_CACHE", "HF_TOKEN_PATH"):
        monkeypatch.setenv(variable, f"/home/ada/{variable.lower()}")
    held = Path("/home/ada/.cache/finetty/installed.txt")
    monkeypatch.setattr("finetty.backend.machine.mending.held_path", lambda: held)
    monkeypatch.setattr("finetty.backend.machine.mending.hold_installed", lambda _lack: None)


def picture(name: str) -> FinettyApp:
    language.set_language(name)
    return FinettyApp(start="setup")


def walk(step: str) -> Any:
    async def go(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        await go_to(pilot, step)
        if step == "machine":
            await pilot.press("down")
        await settled(pilot)

    return go


async def settled_but_running(pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, Question))
    await pilot.pause()


async def ended(pilot: Pilot[Any]) -> None:
    """Wait until the command has ended, and until that is drawn."""
    await until(pilot, lambda: isinstance(pilot.app.screen, CommandPane) and pilot.app.screen.code is not None)
    await settled(pilot)


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
