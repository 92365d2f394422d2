"""Where models, data and runs can live: this machine's file systems, and what each does to what is kept there."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import psutil

from finetty.backend.messages import Finding, Message, message

LAYER = message(
    "places.layer",
    "This is the container's own layer ({filesystem}): all of it is gone once the rental is stopped or the container"
    " removed.",
)
MEMORY = message(
    "places.memory", "This is memory ({filesystem}): it is empty after a restart, and takes its room from training."
)
NETWORK = message("places.network", "This is on the network ({filesystem}): loading and saving may be slower.")
NO_LOCKS = message(
    "places.no_locks",
    "File locks do not work here ({reason}): runs that are alive and runs that are dead could not be told apart.",
)
COPY = message("places.copy", "Copy {folder} to a disk that stays.")
QUOTA = message("places.quota", "Your quota leaves {left:size} of {limit:size} here.")
LITTLE = message("places.little", "Only {free:size} are free here; a model of 7 billion parameters takes 15 GB.")

ENOUGH = 5 << 30
"""Bytes below which hardly a small model and its run find room."""
LITTLE_ROOM = 20 << 30
"""Bytes below which a place is said to be small: some models, their checkpoints and results."""
PATIENCE = 3.0
"""Seconds for all file systems together: a server that is gone lets whoever asks wait for ever."""

LAYERS = {"overlay", "overlayfs", "aufs", "unionfs", "fuse.fuse-overlayfs"}
IN_MEMORY = {"tmpfs", "ramfs", "rootfs"}
ON_NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs", "9p", "virtiofs",
    "wekafs", "fuse.sshfs", "fuse.glusterfs", "fuse.juicefs", "fuse.mfs", "fuse.ceph", "fuse.rclone", "fuse.s3fs",
    "fuse.gcsfuse", "fuse.mergerfs", "fuse.weed", "fuse.seaweedfs",
}  # fmt: skip
NEVER = {"autofs", "squashfs", "iso9660", "devtmpfs", "efivarfs", "nsfs", "fuse.lxcfs", "fuse.portal", "vfat"}
SYSTEM = ("/proc", "/sys", "/dev", "/run", "/boot", "/etc", "/usr", "/var", "/tmp", "/snap", "/lib", "/bin", "/sbin")


@dataclass(frozen=True)
class Mount:
    """A line of the mount table."""

    path: str
    filesystem: str
    device: str


@dataclass(frozen=True)
class Place:
    """A folder that finetty's things can live in. Sizes are bytes; `free` is what this user may still write.

    `usual`: the places in the home folder that are taken where nothing is chosen. `drawbacks` say what was found.
    """

    folder: Path
    mount: str
    filesystem: str
    free: int
    total: int
    usual: bool
    persistent: bool
    locks: bool
    drawbacks: tuple[Message, ...] = ()

    @property
    def rank(self) -> tuple[bool, bool, bool, int]:
        """Greater is better: room for one small run at all, then what stays, what can be locked, and the room."""
        return self.free >= ENOUGH, self.persistent, self.locks, self.free


def mount_table() -> list[Mount]:
    """What is mounted, the last at a path counting: it covers those before. Never raises."""
    try:
        found = psutil.disk_partitions(all=True)
    except (OSError, RuntimeError):
        return []
    return list({one.mountpoint: Mount(one.mountpoint, one.fstype, one.device) for one in found}.values())


def places(table: Sequence[Mount] | None = None, home: Path | None = None) -> tuple[Place, ...]:
    """Where this user can keep things, the best first; a file system that does not answer is left out.

    Each is written to: a file of no bytes, to try the locks on.
    """
    table = mount_table() if table is None else table
    home = home or Path.home()
    at_home = _mount_of(home, table)
    quotas = _quotas()
    found: dict[str, Place] = {}

    def look(mount: Mount) -> None:
        usual = mount is at_home
        room = home if usual else _room(mount)
        if room is not None and (place := _look(room, mount, quotas, usual=usual)):
            found[mount.path] = place

    _all_at_once(look, [mount for mount in table if mount is at_home or _may_keep(mount)])
    by_device: dict[int, Place] = {}
    for place in sorted(found.values(), key=lambda one: (not one.usual, one.mount)):
        by_device.setdefault(_device(place.folder), place)
    return tuple(sorted(by_device.values(), key=lambda one: one.rank, reverse=True))


def place_at(folder: Path, table: Sequence[Mount] | None = None) -> Place | None:
    """What this folder would be to finetty's things; None where it can be neither written nor made."""
    table = mount_table() if table is None else table
    mount = _mount_of(folder, table) or Mount("/", "", "")
    existing = next((one for one in (folder, *folder.parents) if one.exists()), None)
    if existing is None or not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return None
    found: list[Place | None] = []
    _all_at_once(lambda one: found.append(_look(existing, one, _quotas(), usual=False, folder=folder)), [mount])
    return found[0] if found else None


def goes_with_machine(folder: Path, table: Sequence[Mount] | None = None) -> Finding | None:
    """A warning where what is kept in this folder outlives neither a restart nor its container; None where it does."""
    mount = _mount_of(folder, mount_table() if table is None else table)
    if mount is None or mount.filesystem not in LAYERS | IN_MEMORY:
        return None
    said = LAYER if mount.filesystem in LAYERS else MEMORY
    return Finding("warning", None, said(filesystem=mount.filesystem), COPY(folder=folder))


def lock_fault(folder: Path) -> str | None:
    """Why flock does not keep a second process out in this folder, tried for real; None where it does."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".finetty-lock-") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with Path(file.name).open("rb") as second:
                try:
                    fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return None
        return "a second lock is let in"
    except OSError as error:
        return error.strerror or type(error).__name__


def _look(
    room: Path, mount: Mount, quotas: dict[str, tuple[int, int]], *, usual: bool, folder: Path | None = None
) -> Place | None:
    try:
        usage = shutil.disk_usage(room)
    except OSError:
        return None
    if not usage.total:
        return None
    drawbacks = []
    if mount.filesystem in LAYERS:
        drawbacks.append(LAYER(filesystem=mount.filesystem))
    elif mount.filesystem in IN_MEMORY:
        drawbacks.append(MEMORY(filesystem=mount.filesystem))
    elif mount.filesystem in ON_NETWORK:
        drawbacks.append(NETWORK(filesystem=mount.filesystem))
    free, said = _within_quota(usage.free, quotas.get(mount.device))
    if said is not None:
        drawbacks.append(said)
    if free < LITTLE_ROOM:
        drawbacks.append(LITTLE(free=free))
    fault = lock_fault(room)
    if fault is not None:
        drawbacks.append(NO_LOCKS(reason=fault))
    return Place(
        folder=folder or (room if usual else room / "finetty"),
        mount=mount.path,
        filesystem=mount.filesystem,
        free=free,
        total=usage.total,
        usual=usual,
        persistent=mount.filesystem not in LAYERS | IN_MEMORY,
        locks=fault is None,
        drawbacks=tuple(drawbacks),
    )


def _within_quota(free: int, quota: tuple[int, int] | None) -> tuple[int, Message | None]:
    if quota is None:
        return free, None
    used, limit = quota
    left = max(0, limit - used)
    return min(free, left), QUOTA(left=left, limit=limit)


def _quotas() -> dict[str, tuple[int, int]]:
    """Device → bytes used and bytes allowed, as the system's own `quota` tells them; none where it is not there."""
    program = shutil.which("quota")
    if program is None:
        return {}
    try:
        done = subprocess.run(
            [program, "-w"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return quota_table(done.stdout)


def quota_table(text: str) -> dict[str, tuple[int, int]]:
    """`quota -w`: a device, the blocks of 1 KiB that are used, the soft and the hard limit; 0 is no limit."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        numbers = [word.rstrip("*") for word in words[1:4]]
        if len(numbers) == 3 and all(number.isdigit() for number in numbers):
            used, soft, hard = (int(number) << 10 for number in numbers)
            if soft or hard:
                found[words[0]] = (used, hard or soft)
    return found


def _may_keep(mount: Mount) -> bool:
    """Whether a person would keep things there: no part of the system, and not the root, where only it belongs."""
    if mount.path == "/" or mount.filesystem in NEVER:
        return False
    return not any(mount.path == one or mount.path.startswith(f"{one}/") for one in SYSTEM)


def _room(mount: Mount) -> Path | None:
    """A folder of the mount that this user may write: its top, or the one of the user's own name."""
    for folder in (Path(mount.path), Path(mount.path) / os.environ.get("USER", "root")):
        try:
            if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
                return folder
        except OSError:
            continue
    return None


def _mount_of(folder: Path, table: Sequence[Mount]) -> Mount | None:
    path = folder if not folder.exists() else folder.resolve()
    around = [mount for mount in table if path.is_relative_to(mount.path)]
    return max(around, key=lambda mount: len(mount.path), default=None)


def _device(folder: Path) -> int:
    """The number of the file system: the same for all bind mounts of one."""
    existing = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
    return existing.stat().st_dev


def _all_at_once(look: Callable[[Mount], object], mounts: Sequence[Mount]) -> None:
    """Look at each in a thread of its own; those that have not come back after PATIENCE are left behind."""
    threads = [Thread(target=look, args=(mount,), daemon=True) for mount in mounts]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
