"""Connections to PostgreSQL: addresses without passwords, a library that only some homes have, and time limits.

What belongs here: what every use of such a database has in common. What does not: any table or statement.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from forecast_assets.core.addresses import without_password
from forecast_assets.core.errors import InputError, first_line

if TYPE_CHECKING:
    from psycopg import Connection

_CONNECT_SECONDS: Final = 3
# A server that is cut off without a word is noticed by then.
_SILENT_SECONDS: Final = 60


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

    Raises:
        InputError: If the address cannot be read.
    """
    import psycopg

    _require_readable(url)
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


def _require_readable(url: str) -> None:
    """Refuse an address that the library cannot read, or reads otherwise than it was meant: a password splits it."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(plain_address(url)).items()}
    except ProgrammingError:
        parts = None
    if parts is None or _is_split(parts, url):
        # The library's own words have parts of the password.
        raise InputError(
            "The address of the database cannot be read.",
            remedy="Write it as postgresql://USER:PASSWORD@HOST/NAME, with % @ / ? in a password as %25 %40 %2F %3F.",
        ) from None


def _is_split(parts: Mapping[str, str], url: str) -> bool:
    host, port, name = (parts.get(each, "") for each in ("host", "port", "dbname"))
    return (
        not all(each.isdigit() for each in port.split(",") if each)
        or ("@" in host and not host.startswith(("/", "@")))
        or ("@" in name and "%40" not in url)
    )
