"""Where things can live: mount tables of other machines on real folders, and a real file system in memory."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from finetty.backend.machine import mounts
from finetty.backend.machine.mounts import (
    Mount,
    goes_with_machine,
    lock_fault,
    mount_table,
    place_at,
    places,
    quota_table,
)

MEMORY = Path("/dev/shm")


@pytest.fixture
def rental(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rented container: a home on the overlay, a volume, and a scratch in memory, each a file system of its own."""
    for name in ("root", "workspace", "scratch"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(mounts, "_device", lambda folder: hash(folder.parts[: len(tmp_path.parts) + 1]))
    monkeypatch.setattr(mounts, "LITTLE_ROOM", 0)
    monkeypatch.setattr(mounts, "SYSTEM", ("/proc", "/sys", "/dev"))
    return tmp_path


def table(rental: Path, **kinds: str) -> list[Mount]:
    return [
        Mount("/", "overlay", "overlay"),
        Mount("/proc", "proc", "proc"),
        Mount("/dev/shm", "tmpfs", "shm"),
        *(Mount(str(rental / name), kind, f"/dev/{name}") for name, kind in kinds.items()),
    ]


def test_a_rental_keeps_only_its_volume(rental: Path) -> None:
    best, *rest = places(table(rental, workspace="ext4", scratch="tmpfs"), home=rental / "root")
    assert (best.folder, best.persistent, best.locks, best.usual) == (
        rental / "workspace" / "finetty", True, True, False,
    )  # fmt: skip
    assert best.drawbacks == () and not best.folder.exists()
    said = {place.mount: [message.id for message in place.drawbacks] for place in rest}
    assert said == {"/": ["places.layer"], str(rental / "scratch"): ["places.memory"]}
    assert [place.folder for place in rest if place.usual] == [rental / "root"]
    assert not list(rental.rglob(".finetty*"))


def test_a_volume_without_room_for_a_run_is_not_proposed(rental: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage

    def usage(folder: Path) -> Any:
        found = real(folder)
        return found._replace(free=1 << 30) if "workspace" in str(folder) else found

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert [place.usual for place in places(table(rental, workspace="ext4"), home=rental / "root")] == [True, False]


def test_a_machine_of_ones_own_keeps_its_home(rental: Path) -> None:
    (only,) = places([Mount("/", "ext4", "/dev/sda1"), Mount("/sys", "sysfs", "sysfs")], home=rental / "root")
    assert only.usual and only.persistent and only.filesystem == "ext4"


def test_a_bind_mount_of_the_homes_own_disk_is_no_other_place(rental: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(mounts, "SYSTEM", ("/proc",))
    found = places([Mount("/", "ext4", "/dev/sda1"), Mount(str(rental / "workspace"), "ext4", "/dev/sda1")], rental)
    assert [place.usual for place in found] == [True]


def test_what_cannot_be_locked_or_written_comes_last_or_not_at_all(
    rental: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def flock(file: object, how: int) -> None:
        if str(rental / "workspace") in getattr(file, "name", ""):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        real(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", flock)
    disks = table(rental, workspace="nfs4", scratch="xfs")
    found = places(disks, home=rental / "root")
    assert [place.folder.parent.name for place in found][:2] == ["scratch", "workspace"]
    assert [message.id for message in found[1].drawbacks] == ["places.network", "places.no_locks"]
    assert "No locks available" in found[1].drawbacks[1].text
    monkeypatch.setattr(os, "access", lambda path, _mode: "scratch" not in str(path))
    assert "scratch" not in {place.folder.parent.name for place in places(disks, home=rental / "root")}


def test_a_folder_of_the_users_name_is_taken_where_the_top_is_closed(
    rental: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (rental / "workspace" / "ada").mkdir()
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path).name in ("ada", "root"))
    best = places(table(rental, workspace="lustre"), home=rental / "root")[0]
    assert best.folder == rental / "workspace" / "ada" / "finetty"


def test_a_quota_is_what_is_free(rental: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own program says it: a stand-in for it is found in PATH."""
    program = rental / "bin" / "quota"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\necho 'Disk quotas for user ada (uid 1000):'\n"
        "echo '     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace'\n"
        "echo '/dev/workspace  2097152* 1048576 3145728   6days    1000       0       0'\n"
        "echo '/dev/scratch  5 0 0 5 0 0'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    found = {place.folder.parent.name: place for place in places(table(rental, workspace="ext4"), rental / "root")}
    home = found["workspace"]
    assert home.free == 1 << 30
    assert home.drawbacks[0].text == "Your quota leaves 1.0 GB of 3.0 GB here."
    assert quota_table("Disk quotas for user ada: none\n\n") == {}


def test_a_file_system_that_never_answers_is_left_out(rental: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, real = Event(), mounts._look
    monkeypatch.setattr(mounts, "PATIENCE", 0.2)

    def look(room: Path, *rest: Any, **said: Any) -> Any:
        return gone.wait() if "workspace" in str(room) else real(room, *rest, **said)

    monkeypatch.setattr(mounts, "_look", look)
    found = places(table(rental, workspace="nfs", scratch="ext4"), home=rental / "root")
    gone.set()
    assert {place.mount for place in found} == {"/", str(rental / "scratch")}


@pytest.mark.skipif(not os.access(MEMORY, os.W_OK), reason="no file system in memory here")
def test_this_machines_own_file_system_in_memory_is_named() -> None:
    place = place_at(MEMORY / "finetty-here")
    assert place is not None and place.filesystem == "tmpfs" and place.locks and not place.persistent
    assert place.drawbacks[0].id == "places.memory"
    assert not place.folder.exists()


def test_this_machine_has_a_place_to_keep_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = places()
    assert any(place.usual and place.folder == tmp_path for place in found)
    assert all(0 <= place.free <= place.total for place in found)
    assert "/" in {mount.path for mount in mount_table()}


def test_a_folder_that_cannot_be_made_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert place_at(tmp_path / "file" / "inner") is None
    inner = place_at(tmp_path / "to" / "be" / "made")
    assert inner is not None and inner.folder == tmp_path / "to" / "be" / "made"


def test_locks_are_tried_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lock_fault(tmp_path) is None
    assert lock_fault(tmp_path / "nowhere") == "No such file or directory"
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    assert lock_fault(tmp_path) == "a second lock is let in"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("filesystem", "words"), [("ext4", ""), ("nfs4", ""), ("tmpfs", "This is memory"), ("overlay", "container's own")]
)
def test_what_is_kept_in_memory_or_in_a_layer_goes_with_the_machine(
    tmp_path: Path, filesystem: str, words: str
) -> None:
    table = [Mount("/", "ext4", "/dev/vda"), Mount(str(tmp_path), filesystem, "x")]
    found = goes_with_machine(tmp_path / "runs", table)
    assert (words in found.message.text and str(tmp_path) in str(found.fix)) if found else not words
    assert goes_with_machine(tmp_path.parent, table) is None
