"""Connections to PostgreSQL: addresses without passwords, a library that only some homes have, and time limits.

What belongs here: what every use of such a database has in common. What does not: any table or statement.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from forecast_assets.core.errors import InputError, first_line

if TYPE_CHECKING:
    from psycopg import Connection

_CONNECT_SECONDS: Final = 3
# A server that is cut off without a word is noticed by then.
_SILENT_SECONDS: Final = 60
_PASSWORD: Final = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*@")


def without_password(text: str) -> str:
    """Return an address, or a sentence that has one, with stars in the place of its password.

    Example:
        >>> without_password("postgresql://ana:secret@db/x")
        'postgresql://ana:***@db/x'
    """
    return _PASSWORD.sub(r"\1:***@", text)


def plain_address(url: str) -> str:
    """Return an address as the server's own library takes it, without the name of a driver.

    Example:
        >>> plain_address("postgresql+psycopg://db/x")
        'postgresql://db/x'
    """
    return re.sub(r"^postgresql\+psycopg://", "postgresql://", url)


def error_line(error: BaseException) -> str:
    """Return what an error says in one line, without a password that is part of an address."""
    return without_password(first_line(error))


def require_psycopg(what: str) -> None:
    """Refuse to go on without the library.

    Args:
        what: What needs it, as a sentence begins.

    Raises:
        InputError: Saying how to install it.
    """
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{what} in PostgreSQL need{'' if what.endswith('s') else 's'} the library `psycopg`, and it is not "
            "installed.",
            remedy='Install it into this environment: pip install "psycopg[binary]".',
            library="psycopg",
        ) from error


@contextmanager
def connected(url: str, *, statement_seconds: int = 0, lock_seconds: int = 0) -> Iterator["Connection[Any]"]:
    """Yield a connection that commits by itself, in UTC; its failures are those of `psycopg`.

    Args:
        url: Of the database.
        statement_seconds: How long one statement may take; 0 for as long as it takes.
        lock_seconds: How long to wait for who holds a lock; 0 for as long as it takes.
    """
    import psycopg

    options = f"-c statement_timeout={statement_seconds}s -c lock_timeout={lock_seconds}s -c timezone=UTC"
    with psycopg.connect(
        plain_address(url),
        connect_timeout=_CONNECT_SECONDS,
        keepalives_idle=_SILENT_SECONDS,
        tcp_user_timeout=_SILENT_SECONDS * 1_000,
        options=f"{options} -c datestyle=ISO -c client_encoding=UTF8",
        autocommit=True,
    ) as connection:
        yield connection
