"""Notices reach a real command and a real server, and whatever these do, the run and its folder know no address."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.survival import stepping_run

from finetty.backend.messages import Refusal, message
from finetty.backend.runs import EventLog, EventReader, Run
from finetty.tui import notices, notifying
from finetty.tui.notices import notices_document, send_test_notice, settings_path, ways
from finetty.tui.screens.following import calls
from finetty.tui.watch import Watch

LOW = message("test.low", "Memory is low.")
SECRET = "T0K3N-that-nobody-may-see"


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("FINETTY_NOTIFY_COMMAND", "FINETTY_NOTIFY_WEBHOOK", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return stepping_run(tmp_path)


class Server:
    """A webhook on this machine: it keeps what it is sent, and answers with `code`, or not at all."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.code = 204
        self.silent = threading.Event()
        server = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.received.append(json.loads(body))
                if server.code == 0:
                    server.silent.wait(60)
                    return
                self.send_response(server.code)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing is printed."""

        self._server = HTTPServer(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self._server.server_port}/{SECRET}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.silent.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def command_that_keeps(path: Path) -> str:
    code = f"import sys; open({str(path)!r}, 'a').write(sys.argv[-1] + chr(10) + sys.stdin.read() + chr(10))"
    return shlex.join([sys.executable, "-c", code])


def lived(run: Run) -> None:
    """What a run tells until it is over, and all of it sent."""
    log = EventLog(run)
    log.append("state", state="failed")  # of an earlier life
    start = run.events_path.stat().st_size
    log.append("state", state="running")
    run.write_status(step=7, state="running")
    for level in ("warning", "warning", "note"):
        said = {"message": LOW().to_json(), "advice": None}
        log.append("alert", level=level, code=f"low.{level}", message=LOW().text, advice=None, said=said)
    log.append("step", step=7, loss=1.0)
    log.append("state", state="finished")
    run.write_status(state="finished")
    notifying.follow(run, start, ways())


def noted(run: Run) -> list[str]:
    return [event["message"] for event in EventReader(run.events_path).read() if event["kind"] == "note"]


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_webhook_hears_of_an_alert_once_and_of_the_end(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETTY_NOTIFY_WEBHOOK", server.address)
    lived(run)
    alert, end = server.received
    assert (alert["event"], alert["level"], alert["run"]) == ("alert", "warning", run.id)
    assert alert["text"] == alert["content"] == f"finetty: {run.status().name} ({run.id}): Memory is low."
    assert (end["state"], end["step"]) == ("finished", 7)
    assert "finished at step 7 of 1000000" in end["text"]
    assert noted(run) == []
    assert SECRET.encode() not in everything_in(run.path)


def test_a_command_gets_the_text_as_one_word_and_all_of_it_on_its_input(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETTY_NOTIFY_COMMAND", command_that_keeps(tmp_path / "kept"))
    lived(run)
    alert, told, end, _ = (tmp_path / "kept").read_text().splitlines()
    assert alert.endswith("Memory is low.")
    assert json.loads(told)["text"] == alert
    assert "finished" in end


@pytest.mark.parametrize(("code", "reason"), [(404, "HTTP 404"), (500, "HTTP 500"), (0, "no answer in 0 seconds")])
def test_a_webhook_that_fails_is_noted_without_its_address(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    server.code = code
    monkeypatch.setattr(notices, "SECONDS_TO_SEND", 0.3)
    monkeypatch.setenv("FINETTY_NOTIFY_WEBHOOK", server.address)
    lived(run)
    assert noted(run) == [f"A notice could not be sent to the webhook: {reason}."] * 2
    assert SECRET.encode() not in everything_in(run.path)


@pytest.mark.parametrize(
    ("address", "reason"),
    [("http://127.0.0.1:1/" + SECRET, "Connection refused"), (f"http://127.0.0.1:port/{SECRET}", "InvalidURL")],
)
def test_an_address_where_nobody_is(run: Run, monkeypatch: pytest.MonkeyPatch, address: str, reason: str) -> None:
    monkeypatch.setenv("FINETTY_NOTIFY_WEBHOOK", address)
    lived(run)
    assert noted(run)[0] == f"A notice could not be sent to the webhook: {reason}."
    assert SECRET.encode() not in everything_in(run.path)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("false", "exit code 1"),
        (f"/no/such/{SECRET}", "No such file or directory"),
        (f"sh -c 'sleep 60; : {SECRET}'", "no answer in 0 seconds"),
    ],
)
def test_a_command_that_fails_is_noted_without_its_words(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, reason: str
) -> None:
    monkeypatch.setattr(notices, "SECONDS_TO_SEND", 0.3)
    monkeypatch.setenv("FINETTY_NOTIFY_COMMAND", command)
    lived(run)
    assert noted(run) == [f"A notice could not be sent to the command: {reason}."] * 2
    assert SECRET.encode() not in everything_in(run.path)


def kept(mode: int = 0o600, **values: Any) -> Path:
    path = settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    path.chmod(mode)
    return path


def test_the_file_counts_where_the_environment_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not ways()
    kept(command="notify-send 'my run'", webhook=f"https://hooks.example/{SECRET}")
    assert ways().command == ("notify-send", "my run")
    assert notices_document() == ["the command notify-send", "the webhook at hooks.example"]
    assert SECRET not in repr(ways())
    monkeypatch.setenv("FINETTY_NOTIFY_COMMAND", "true")
    assert (ways().command, ways().webhook) == (("true",), None)


@pytest.mark.parametrize(
    ("written", "mode", "said"),
    [
        ({"webhook": f"https://x/{SECRET}"}, 0o644, "Others can read"),
        ({"webhook": f"file:///{SECRET}"}, 0o600, "no address"),
        ({"webhook": 3}, 0o600, "something else"),
        ({"web_hook": "https://x/y"}, 0o600, "it knows no web_hook"),
        ({"command": "echo 'open"}, 0o600, "No closing quotation"),
    ],
)
def test_what_is_set_wrongly_is_said_by_doctor_and_noted_by_a_run(
    run: Run, written: dict[str, Any], mode: int, said: str
) -> None:
    kept(mode, **written)
    with pytest.raises(Refusal, match=said):
        ways()
    assert said in notices_document()[0]
    notifying.begin(run)
    assert said in noted(run)[0]
    assert SECRET.encode() not in everything_in(run.path)


def test_a_test_notice(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refusal, match="No notices are set"):
        send_test_notice()
    monkeypatch.setenv("FINETTY_NOTIFY_WEBHOOK", server.address)
    send_test_notice()
    assert server.received[0]["event"] == "test"
    assert "127.0.0.1" in capsys.readouterr().out
    server.code = 403
    with pytest.raises(Refusal, match="HTTP 403"):
        send_test_notice()


def test_the_bell_rings_for_an_alert_and_for_the_end_but_not_for_history(run: Run) -> None:
    log, watch = EventLog(run), Watch(run)
    log.append("alert", level="warning", code="old", message="old", advice=None)
    first = watch.poll()
    log.append("alert", level="note", code="x", message="x", advice=None)
    second = watch.poll()
    assert not calls(first, second)
    log.append("alert", level="error", code="y", message="y", advice=None)
    third = watch.poll()
    assert calls(second, third)
    log.append("state", state="finished")
    run.write_status(state="finished")
    assert calls(third, watch.poll())


def test_an_address_that_cannot_be_asked_for_is_said_to_be_so() -> None:
    (refusal,) = notices.sent(notices.Ways(webhook="http://127.0.0.1:9/\u00e9"), {"text": "done"})
    assert "UnicodeEncodeError" in str(refusal)
