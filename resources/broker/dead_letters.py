"""Dead letters as messages: what could not be worked off, with the reason, on a topic of its own.

What belongs here: their topic and their headers. What does not: keeping them for good (`operational.stream_letters`).
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from resources.broker.broker import MOST_MESSAGE_BYTES, BrokerMessage, ReceivedMessage
from resources.operational.stream_letters import StreamLetter

_REASON: Final = "dead-letter-reason"
_LONGEST_REASON: Final = 4_000
_LONGEST_KEY: Final = 4_000
_MOST_HEADER_BYTES: Final = 20_000
_MOST_VALUE_BYTES: Final = MOST_MESSAGE_BYTES - 100_000


def letters_topic(prefix: str) -> str:
    """Return where dead letters are.

    Example:
        >>> letters_topic("retail")
        'retail.dead-letters'
    """
    return f"{prefix}.dead-letters"


def letter_of(
    message: ReceivedMessage, reason: str, *, value: bytes | None = None, without: Collection[str] = ()
) -> StreamLetter:
    """Return a message as a letter.

    Args:
        message: As it was read.
        reason: Why it could not be worked off.
        value: The part of it that could not; all of it if left out.
        without: Headers that are left out, in lower case, since they are secrets.
    """
    headers = {name: said for name, said in message.headers.items() if name.lower() not in without}
    whole = message.value if value is None else value
    return StreamLetter(message.topic, message.partition, message.offset, message.key, headers, whole, reason)


def dead_letter(prefix: str, letter: StreamLetter, now: datetime) -> BrokerMessage:
    """Return a letter as a message; what no broker would take of it is left out, and said to be.

    Args:
        prefix: Of topics.
        letter: The letter.
        now: The present moment.
    """
    headers, size = dict[str, str](), 0
    for name, said in letter.headers.items():
        size += len(name.encode()) + len(said.encode())
        if size <= _MOST_HEADER_BYTES:
            headers[name] = said
    value = letter.value[:_MOST_VALUE_BYTES]
    is_whole = len(value) == len(letter.value) and len(headers) == len(letter.headers)
    told = {
        _REASON: letter.reason.encode()[:_LONGEST_REASON].decode(errors="ignore"),
        "dead-letter-topic": letter.topic,
        "dead-letter-partition": str(letter.partition),
        "dead-letter-offset": str(letter.offset),
        "dead-letter-at": now.isoformat(timespec="seconds"),
        "dead-letter-is-whole": "true" if is_whole else "false",
    }
    key = letter.key if len(letter.key.encode()) <= _LONGEST_KEY else ""
    return BrokerMessage(letters_topic(prefix), key, value, {**headers, **told})
