"""Files brought here over HTTP: taken up where they broke off, checked by their hash, told of with rate and time."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

from finetty.backend.messages import Message, Refusal, message

DOWNLOADING = message("models.downloading", "Downloading {path} from {host}: {size:.1f} MB")
PROGRESS = message("models.progress", "{done:.1f} of {size:.1f} MB")
PROGRESS_RATE = message(
    "models.progress_rate", "{done:.1f} of {size:.1f} MB, {rate:.1f} MB/s, {minutes}:{seconds:02d} left"
)
NO_ROOM = message("models.no_room", "The model {path} takes {needed:size} and {free:size} are free in {folder}.")
FREE_SPACE = message("models.free_space", "Free some space, or move the cache with {variable}.")
STRANGE_FILE = message("models.strange_file", "{host} lists a file of {path} that would leave its folder: {file}.")
NOT_THAT_ONE = message("models.not_that_one", "Choose another model: nothing was downloaded of this one.")
DAMAGED = message("models.damaged", "{file} came from {host}, and is not the file that it should be.")
COMES_AGAIN = message("models.comes_again", "Try again: what was wrong has been thrown away.")
BROKE_OFF = message("models.broke_off", "The download of {path} broke off: {reason}.")
TRY_AGAIN = message("models.try_again", "Try again: what has come already is kept.")

MB = 1_000_000
AT_ONCE = 4
"""Files that come side by side."""
TRIES = 5
"""Times that a file is taken up again without one more byte of it."""
SECONDS_BETWEEN_TRIES = 1.0
SECONDS_BETWEEN_REPORTS = 0.5
SECONDS_OF_RATE = 10.0
"""The rate is that of the last seconds, and so is the time that is left."""
PART = ".part"
TIMEOUT = httpx.Timeout(30, connect=10)

Report = Callable[[Message], None]


@dataclass(frozen=True)
class Remote:
    """A file to bring: where it is, where it goes, its bytes, and the SHA-256 it must have, where that is known."""

    url: str
    target: Path
    size: int
    sha256: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Progress:
    """Counts the bytes of several files and tells, at most twice a second, how far they are. For many threads."""

    def __init__(self, size: int, tell: Report) -> None:
        self.size, self._tell = size, tell
        self._done = 0
        self._guard = threading.Lock()
        self._told = -SECONDS_BETWEEN_REPORTS
        self._seen: deque[tuple[float, int]] = deque()

    def there(self, count: int) -> None:
        """Bytes that were here before, which say nothing of the rate; fewer than none where they are thrown away."""
        with self._guard:
            self._done += count
            self._seen = deque((when, done + count) for when, done in self._seen)

    def came(self, count: int) -> None:
        with self._guard:
            self._done += count
            now = time.monotonic()
            if now - self._told >= SECONDS_BETWEEN_REPORTS:
                self._told = now
                self._tell(self._said(now))

    def _said(self, now: float) -> Message:
        self._seen.append((now, self._done))
        while now - self._seen[0][0] > SECONDS_OF_RATE:
            self._seen.popleft()
        done = min(self._done, self.size)
        since, before = self._seen[0]
        if now == since or self._done <= before:
            return PROGRESS(done=done / MB, size=self.size / MB)
        rate = (self._done - before) / (now - since)
        minutes, seconds = divmod(round((self.size - done) / rate), 60)
        return PROGRESS_RATE(done=done / MB, size=self.size / MB, rate=rate / MB, minutes=minutes, seconds=seconds)


def check_room(path: str, needed: int, folder: Path, variable: str) -> None:
    """Raises Refusal where the folder's disk has not that many bytes; `variable` moves the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        said = NO_ROOM(path=path, needed=needed, free=free, folder=folder)
        raise Refusal(said, FREE_SPACE(variable=variable), option="model.path")


def check_file_names(path: str, host: str, names: Sequence[str]) -> None:
    """Raises Refusal where a listing, which is a stranger's, names a file outside its own folder."""
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if not name or "\0" in name or name.startswith("/") or ".." in parts or len(name) > 1000:
            said = STRANGE_FILE(path=path, host=host, file=repr(name)[:200])
            raise Refusal(said, NOT_THAT_ONE(), option="model.path")


def still_missing(file: Remote) -> int:
    """Bytes of it that are not here."""
    if file.target.exists():
        return 0
    part = _part(file.target)
    return max(0, file.size - (part.stat().st_size if part.exists() else 0))


def bring(path: str, files: Sequence[Remote], progress: Progress) -> None:
    """Bring the files of model `path`, some at once; what has come stays where it fails. Raises Refusal."""
    stop = threading.Event()
    with httpx.Client(follow_redirects=True, timeout=TIMEOUT) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(_bring_one, path, file, client, progress, stop) for file in files]
        try:
            for one in waiting:
                one.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _bring_one(path: str, file: Remote, client: httpx.Client, progress: Progress, stop: threading.Event) -> None:
    if file.target.exists():
        progress.there(file.size)
        return
    file.target.parent.mkdir(parents=True, exist_ok=True)
    with _part(file.target).open("ab+") as part:
        fcntl.flock(part, fcntl.LOCK_EX)  # another process may be at this very file: then wait for it
        if file.target.exists():
            progress.there(file.size)
            return
        taken_up = part.seek(0, os.SEEK_END) > 0
        _fill(path, file, part, client, progress, stop)
        right = _is_right(file, part)
        if taken_up and not right:
            part.truncate(0)  # what was left of an earlier attempt may have been wrong: the whole file, once
            progress.there(-file.size)
            _fill(path, file, part, client, progress, stop)
            right = _is_right(file, part)
        part.flush()
        os.fsync(part.fileno())
        if not right:
            Path(part.name).unlink()
            host = httpx.URL(file.url).host
            raise Refusal(DAMAGED(file=file.target.name, host=host), COMES_AGAIN(), option="model.path")
        Path(part.name).rename(file.target)


def _fill(
    path: str, file: Remote, part: IO[bytes], client: httpx.Client, progress: Progress, stop: threading.Event
) -> None:
    """Everything that is not in `part` yet; a line that breaks is taken up again while it still brings something."""
    if part.seek(0, os.SEEK_END) > file.size:
        part.truncate(0)
    progress.there(part.tell())
    tries = 0
    while part.seek(0, os.SEEK_END) < file.size:
        before = part.tell()
        try:
            _take(file, part, client, progress, stop)
            reason = "the server sent less than it said"
        except httpx.HTTPStatusError as error:
            code = error.response.status_code
            if code < 500 and code not in (408, 429):
                raise
            reason = f"HTTP {code}"
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
        tries = 0 if part.tell() > before else tries + 1
        if part.tell() < file.size and tries >= TRIES:
            raise Refusal(BROKE_OFF(path=path, reason=reason), TRY_AGAIN(), option="model.path")
        if part.tell() < file.size:
            stop.wait(SECONDS_BETWEEN_TRIES)


def _take(file: Remote, part: IO[bytes], client: httpx.Client, progress: Progress, stop: threading.Event) -> None:
    start = part.tell()
    headers = {**file.headers, "Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    with client.stream("GET", file.url, headers=headers) as answer:
        if answer.is_error:
            answer.read()  # whoever is told of it may look for the reason inside
        answer.raise_for_status()
        if start and answer.status_code != httpx.codes.PARTIAL_CONTENT:
            part.truncate(0)  # the server knows no ranges and sends the whole
            progress.there(-start)
        for chunk in answer.iter_bytes():
            if stop.is_set():
                raise httpx.ReadError("another file failed")
            if part.tell() + len(chunk) > file.size:
                part.truncate(0)
                raise Refusal(DAMAGED(file=file.target.name, host=answer.url.host), COMES_AGAIN(), option="model.path")
            part.write(chunk)
            progress.came(len(chunk))


def _is_right(file: Remote, part: IO[bytes]) -> bool:
    if file.sha256 is None:
        return True
    part.seek(0)
    digest: Any = hashlib.file_digest(part, "sha256")  # type: ignore[arg-type]
    return bool(digest.hexdigest() == file.sha256)


def _part(target: Path) -> Path:
    return target.with_name(target.name + PART)
