"""Addresses of servers as people may read them: without passwords.

What belongs here: hiding what must not be told. What does not: any protocol, or connecting.
"""

import re
from typing import Final

# What a password may be written as besides, and all that follows it.
_ARGUMENT: Final = re.compile(r"[?&](?:ssl)?password=\S*", re.IGNORECASE)
# Up to the last `@`, since a password that is not written as it should be has one, or `/` or `?`.
_PASSWORD: Final = re.compile(r"(?<=://)([^/@:\s]*):.*@")
_QUERY: Final = re.compile(r"(://[^\s?]*)\?\S*")


def without_password(text: str) -> str:
    """Return an address, or a line that has one, with stars in the place of its password, and without its arguments.

    Example:
        >>> without_password("postgresql://ana:se@cr/et@db/x?sslmode=require")
        'postgresql://ana:***@db/x'
    """
    return _QUERY.sub(r"\1", _PASSWORD.sub(r"\1:***@", _ARGUMENT.sub("", text)))
