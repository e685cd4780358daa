"""Ids and trace context of a request, and how large it may be.

What belongs here: what of a caller's own ids is taken, and making those that are missing. What does not: headers.
"""

import re
import secrets
import uuid
from typing import Final

LARGEST_REQUEST_BYTES: Final = 1 << 20
# Visible ASCII without what separates values in logs: an id is copied into them.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# W3C Trace Context, version 00.
_TRACE_PARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def request_id_of(said: str) -> str:
    """Return the id that a caller gave a request, or a new one where it is none.

    Example:
        >>> request_id_of("order-7")
        'order-7'
    """
    return said if _REQUEST_ID.fullmatch(said) else str(uuid.uuid4())


def bearer_of(authorization: str) -> str | None:
    """Return the key that an authorization of scheme Bearer carries; None of another scheme, or of none.

    Example:
        >>> bearer_of("Bearer fak_1"), bearer_of("Basic YTpi"), bearer_of("")
        ('fak_1', None, None)
    """
    scheme, _, key = authorization.partition(" ")
    return key if scheme.lower() == "bearer" else None


def trace_of(said: str) -> str:
    """Return the trace that a caller's request is part of, or a new one where it is none."""
    return said if _TRACE_PARENT.fullmatch(said) else f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
