"""Files as text: gzip undone; UTF-8, UTF-16 and GB18030 recognised and strictly decoded."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Self

from finetty.backend.messages import Message, Refusal, message

NOT_TEXT = message("dataset.not_text_file", "This line is neither UTF-8 nor GB18030 text.")
NOT_ENCODED = message("dataset.not_encoded", "This line is not {encoding} text, as the lines before it are.")
NOT_GZIP = message("dataset.not_gzip", "The compressed file is broken: {reason}.")
LONG_LINE = message("dataset.long_line", "This line is longer than {megabytes} MB.")
SAVE_AS_UTF8 = message("dataset.save_as_utf8", "Save the file as UTF-8.")
COPY_AGAIN = message("dataset.copy_again", "Copy or compress it again.")
MEND_LINE = message("dataset.mend_line", "Mend the line or remove it.")

LONGEST_LINE = 64 << 20
PIECE = 1 << 20
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
USUAL_CHINESE = 0.5
"""GB18030 gives a meaning to almost any bytes: it is believed where this share of its characters is usual."""


class TextFile:
    """A file's lines or pieces. `encoding` is ascii until a line shows which one it is; use it in a `with`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw = path.open("rb")
        self.compressed = self._raw.peek(2)[:2] == b"\x1f\x8b"
        packed = gzip.GzipFile(fileobj=self._raw) if self.compressed else self._raw
        self._stream: io.BufferedReader[Any] = io.BufferedReader(packed, PIECE)
        self.encoding = "ascii"

    def __enter__(self) -> Self:
        try:
            self._find_mark()
        except BaseException:
            self._raw.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._raw.close()

    @property
    def done(self) -> int:
        """Bytes of the file that have been read."""
        return 0 if self._raw.closed else self._raw.tell()

    def begins_with(self) -> str:
        """The first character that is no white space; nothing is read on."""
        return self._peek().lstrip()[:1].decode("latin-1")

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines with their numbers, from 1, without their ends. Raises Refusal."""
        number = 0
        while raw := self._line(number + 1):
            number += 1
            yield number, self._decoded(raw.rstrip(b"\r\n"), number)

    def pieces(self) -> Iterator[str]:
        """The whole text in pieces. Raises Refusal."""
        decoder: codecs.IncrementalDecoder | None = None
        line = 1
        while raw := self._some(PIECE, line):
            if decoder is None and not raw.isascii():
                self._recognise(raw)
                decoder = codecs.getincrementaldecoder(self._bytes_are)()
            try:
                yield decoder.decode(raw) if decoder else raw.decode("ascii")
            except UnicodeDecodeError as error:
                self._refuse_bytes(line + error.object[: error.start].count(b"\n"))
            line += raw.count(b"\n")
        if decoder is not None and decoder.getstate()[0]:
            self._refuse_bytes(line)

    def refuse(self, said: Message, fix: Message, line: int | None = None) -> NoReturn:
        raise Refusal(said, fix, option="dataset.train", path=self.path, line=line)

    def _find_mark(self) -> None:
        head = self._peek()[:4]
        for mark, encoding in _MARKS:
            if head.startswith(mark):
                self._stream.read(len(mark))
                self.encoding = encoding
        if self.encoding == "ascii" and len(head) == 4 and head[1] == head[3] == 0 < head[0]:
            self.encoding = "utf-16-le"
        elif self.encoding == "ascii" and len(head) == 4 and head[0] == head[2] == 0 < head[1]:
            self.encoding = "utf-16-be"
        if self.encoding.startswith("utf-16"):
            self._stream = io.BufferedReader(_AsUtf8(self._stream, self.encoding), PIECE)

    def _peek(self) -> bytes:
        return self._guarded(self._stream.peek, 1, None)

    def _some(self, size: int, line: int) -> bytes:
        return self._guarded(self._stream.read, size, line)

    def _line(self, number: int) -> bytes:
        raw = self._guarded(self._stream.readline, LONGEST_LINE + 1, number)
        if len(raw) > LONGEST_LINE:
            self.refuse(LONG_LINE(megabytes=LONGEST_LINE >> 20), MEND_LINE(), number)
        return raw

    def _guarded(self, read: Callable[[int], bytes], size: int, line: int | None) -> bytes:
        try:
            return read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.refuse(NOT_GZIP(reason=str(error)), COPY_AGAIN(), line)
        except UnicodeDecodeError:
            self._refuse_bytes(line)

    def _decoded(self, raw: bytes, line: int) -> str:
        if raw.isascii():
            return raw.decode("ascii")
        if self.encoding == "ascii":
            self._recognise(raw + b"\n" + self._peek())
        try:
            return raw.decode(self._bytes_are)
        except UnicodeDecodeError:
            self._refuse_bytes(line)

    @property
    def _bytes_are(self) -> str:
        return "gb18030" if self.encoding == "gb18030" else "utf-8"

    def _recognise(self, sample: bytes) -> None:
        if self.encoding == "ascii":
            self.encoding = recognised_encoding(sample)

    def _refuse_bytes(self, line: int | None) -> NoReturn:
        if self.encoding in ("utf-8", "ascii"):
            self.refuse(NOT_TEXT(), SAVE_AS_UTF8(), line)
        self.refuse(NOT_ENCODED(encoding=self.encoding.upper()), SAVE_AS_UTF8(), line)


def recognised_encoding(sample: bytes) -> str:
    """utf-8, or gb18030 where more of the lines are that and their characters are usual Chinese."""
    lines = [line for line in sample.split(b"\n") if not line.isascii()]
    chinese = [line for line in lines if _is_chinese(line)]
    return "gb18030" if len(chinese) > sum(_decodes(line, "utf-8") for line in lines) else "utf-8"


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _is_chinese(line: bytes) -> bool:
    if not _decodes(line, "gb18030"):
        return False
    characters = [sign for sign in line.decode("gb18030") if not sign.isascii()]
    return sum(map(_is_usual_chinese, characters)) >= USUAL_CHINESE * len(characters)


def _is_usual_chinese(character: str) -> bool:
    """Whether it is in GB2312's rows of signs and of the 3,755 usual characters; Big5 or Shift-JIS seldom hit those."""
    row = character.encode("gb2312", "ignore")[:1]
    return b"\xa1" <= row <= b"\xa3" or b"\xb0" <= row <= b"\xd7"


class _AsUtf8(io.RawIOBase):
    """A stream of another encoding, read as UTF-8. Raises UnicodeDecodeError from its reads."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream, self._decoder, self._rest = stream, codecs.getincrementaldecoder(encoding)(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            raw = self._stream.read(PIECE)
            self._rest = self._decoder.decode(raw, final=not raw).encode("utf-8")
            if not raw:
                break
        taken = self._rest[: len(buffer)]
        self._rest = self._rest[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        self._stream.close()
        super().close()
