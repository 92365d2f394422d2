"""Whether a run outlives its session is looked up, not hoped for."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetty.backend.machine.session import threats

SESSION = "0::/user.slice/user-1000.slice/session-3.scope\n"


def system(root: Path, *, first: str = "systemd", cgroup: str = SESSION, **files: str) -> Path:
    written = {"proc/1/comm": f"{first}\n", "proc/self/cgroup": cgroup, **files}
    for name, text in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def ids(root: Path, user: str = "ada", **environment: str) -> list[str]:
    return [found.message.id for found in threats(environment, root, user)]


def test_an_ordinary_login_is_safe(tmp_path: Path) -> None:
    assert ids(system(tmp_path)) == []


def test_nothing_to_read_is_no_threat(tmp_path: Path) -> None:
    assert ids(tmp_path) == []


@pytest.mark.parametrize(
    ("settings", "user", "killed"),
    [
        ("[Login]\nKillUserProcesses=yes\n", "ada", True),
        ("[Login]\nKillUserProcesses=yes\n", "root", False),
        ("[Login]\n#KillUserProcesses=yes\n", "ada", False),
        ("[Login]\nKillUserProcesses=no\n", "ada", False),
        ("[Login]\n KillUserProcesses = true \nKillOnlyUsers=bob\n", "ada", False),
        ("[Login]\nKillUserProcesses=yes\nKillExcludeUsers=root ada\n", "ada", False),
    ],
)
def test_logind_may_end_everything_at_logout(tmp_path: Path, settings: str, user: str, killed: bool) -> None:
    root = system(tmp_path, **{"etc/systemd/logind.conf": settings})
    assert ids(root, user) == (["session.logind"] if killed else [])


def test_a_drop_in_outweighs_the_main_file(tmp_path: Path) -> None:
    files = {
        "etc/systemd/logind.conf": "[Login]\nKillUserProcesses=yes\n",
        "usr/lib/systemd/logind.conf.d/50-keep.conf": "[Login]\nKillUserProcesses=no\n",
    }
    assert ids(system(tmp_path, **files)) == []


MANAGED = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope\n"


def test_outside_of_a_session_logind_kills_nothing(tmp_path: Path) -> None:
    files = {"etc/systemd/logind.conf": "[Login]\nKillUserProcesses=yes\n", "var/lib/systemd/linger/ada": ""}
    assert ids(system(tmp_path, cgroup=MANAGED, **files)) == []


def test_a_users_manager_ends_with_the_last_login(tmp_path: Path) -> None:
    assert ids(system(tmp_path, cgroup=MANAGED)) == ["session.manager"]
    assert ids(system(tmp_path, cgroup=MANAGED, **{"var/lib/systemd/linger/bob": ""})) == ["session.manager"]


def test_a_container_ends_with_its_shell(tmp_path: Path) -> None:
    (found,) = threats({}, system(tmp_path, first="bash", cgroup="0::/\n"), "root")
    assert "bash" in found.message.text
    assert found.fix
    assert "docker run -d" in found.fix.text


WITH_TERMINAL, WITHOUT = "(a) b) S 0 1 1 34816 1 0\n", "(a) b) S 0 1 1 0 -1 0\n"


@pytest.mark.parametrize(
    ("first", "stat", "threatened"),
    [
        ("bash", WITH_TERMINAL, True),
        ("finetty", WITH_TERMINAL, True),
        ("bash", WITHOUT, False),  # it runs a script, as rented machines do
        ("sleep", WITH_TERMINAL, False),
    ],
)
def test_only_a_first_process_that_somebody_can_leave(tmp_path: Path, first: str, stat: str, threatened: bool) -> None:
    root = system(tmp_path, first=first, cgroup="0::/\n", **{"proc/1/stat": f"1 {stat}"})
    assert ids(root) == (["session.container"] if threatened else [])


def test_an_init_of_a_container_ends_with_its_first_child(tmp_path: Path) -> None:
    files = {"proc/1/task/1/children": "7 9 ", "proc/7/comm": "zsh\n", "proc/7/stat": f"7 {WITH_TERMINAL}"}
    (found,) = threats({}, system(tmp_path, first="docker-init", cgroup="0::/\n", **files), "root")
    assert "zsh" in found.message.text
    system(tmp_path, first="tini", cgroup="0::/\n", **{"proc/7/comm": "sshd\n"})
    assert ids(tmp_path) == []


def test_a_batch_job_has_nobody_who_leaves_it(tmp_path: Path) -> None:
    assert ids(system(tmp_path), SLURM_JOB_ID="17", ENVIRONMENT="BATCH") == []


def test_a_slurm_step_ends_with_its_shell(tmp_path: Path) -> None:
    assert ids(system(tmp_path), SLURM_JOB_ID="17") == ["session.slurm"]
