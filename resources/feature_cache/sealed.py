"""Entries as they are stored outside of a process: compressed, with a digest of their content and their name.

What belongs here: sealing, and opening nothing but what was sealed. What does not: where entries are stored.

Where they are stored is not asked to be right. What was torn, is of another format, or was put under another name does
not open, and counts as not there. Nothing is ever read as code. The digest shows accidents; whoever may write there is
trusted, as with the store.
"""

import hashlib
import zlib
from typing import Final

# Says that the bytes are an entry, of this form.
_MARK: Final = b"FAF1"
_DIGEST_BYTES: Final = 32
_HEAD_BYTES: Final = len(_MARK) + _DIGEST_BYTES
# Opened, an entry has no more bytes: what says otherwise is not read.
_LARGEST: Final = 512 << 20
# Most of an entry is zeros and repeated values: more effort makes it hardly smaller.
_EFFORT: Final = 1


def seal(name: str, content: bytes) -> bytes:
    """Return an entry as it is stored under a name."""
    packed = zlib.compress(content, _EFFORT)
    return _MARK + digest_of(name, packed) + packed


def opened(name: str, sealed: bytes | None) -> bytes | None:
    """Return the content of an entry that is stored under a name; None if it is not what was put there.

    Example:
        >>> opened("a", seal("a", b"content")), opened("b", seal("a", b"content")), opened("a", None)
        (b'content', None, None)
    """
    if sealed is None or not sealed.startswith(_MARK):
        return None
    packed = sealed[_HEAD_BYTES:]
    if sealed[len(_MARK) : _HEAD_BYTES] != digest_of(name, packed):
        return None
    reader = zlib.decompressobj()
    try:
        content = reader.decompress(packed, _LARGEST)
    except zlib.error:
        return None
    return content if reader.eof and not reader.unused_data else None


def digest_of(name: str, packed: bytes) -> bytes:
    """Return the digest of compressed content under a name."""
    digest = hashlib.sha256(name.encode() + b"\0")
    digest.update(packed)
    return digest.digest()
