"""Segments of the spool: files of events, one a line, each with its checksum.

What belongs here: their bytes, and telling whole events from torn ones. What does not: who writes or reads them when.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUFFIX: Final = ".events"
_CHECKSUM_LENGTH: Final = 8


@dataclass(frozen=True)
class Segment:
    """What is in a segment.

    Attributes:
        contents: Bytes of each whole event, oldest first.
        torn: Lines that are not whole: a process or machine died while it wrote them, or the disk changed them.
    """

    contents: Sequence[bytes]
    torn: int


def line_of(content: bytes) -> bytes:
    r"""Return the line of an event, whose bytes have no line break.

    Example:
        >>> line_of(b"{}")
        b'99914b93 {}\n'
    """
    return b"%s %s\n" % (_checksum(content), content)


def read_segment(path: Path) -> Segment:
    """Read a segment; a line that is not whole is skipped and counted.

    Raises:
        OSError: If it cannot be read.
    """
    whole, torn = list[bytes](), 0
    for line in path.read_bytes().splitlines(keepends=True):
        content = line[_CHECKSUM_LENGTH + 1 : -1]
        if line.endswith(b"\n") and line_of(content) == line:
            whole.append(content)
        else:
            torn += 1
    return Segment(whole, torn)


def _checksum(content: bytes) -> bytes:
    return b"%08x" % zlib.crc32(content)
