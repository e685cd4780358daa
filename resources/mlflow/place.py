"""Where the MLflow mirror is, and what makes its database fit to be opened.

What belongs here: addresses, looking whether somebody answers there, a ready empty database, and what MLflow does by
default that nobody asked for. What does not: runs or versions. No library of MLflow's is loaded before it is needed.
"""

import logging
import os
import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.addresses import without_password
from forecast_assets.core.errors import InputError, MirrorConflictError, MirrorUnavailableError, first_line

DATABASE: Final = "mlflow.db"
ARTIFACTS: Final = "artifacts"
# The release whose schema `empty_database.sql` is; MLflow takes 11 s to make the same by its migrations.
SEED_RELEASE: Final = "3.17.2"
SEED: Final = Path(__file__).with_name("empty_database.sql")
# Nobody asked for usage reports. A server that is down is to be told within half a minute, not after minutes. And a
# connection that is kept would go on writing to a database that was moved aside, or break over a fork.
QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_CONNECT_SECONDS: Final = 5
# What SQLite says of a file that no right and no waiting mends.
_DAMAGED: Final = ("file is not a database", "malformed")


@dataclass(frozen=True)
class MirrorPlace:
    """Where a mirror is.

    Attributes:
        folder: Folder below the home that holds the embedded database and artifacts.
        model: Name of the registered model and of the experiment.
        address: Server or PostgreSQL database; None for the embedded one.
        artifact_root: Folder or bucket for artifacts; None for the default.
    """

    folder: Path
    model: str
    address: str | None = None
    artifact_root: str | None = None

    @property
    def database(self) -> Path:
        """File of the embedded database."""
        return self.folder / DATABASE

    @property
    def is_embedded(self) -> bool:
        """Whether the database lies below the home."""
        return self.address is None

    @property
    def uri(self) -> str:
        """What `mlflow.set_tracking_uri` takes.

        Example:
            >>> MirrorPlace(Path("/data/var/mlflow"), "forecast-assets").uri
            'sqlite:////data/var/mlflow/mlflow.db'
        """
        if self.address is None:
            return f"sqlite:///{self.database}"
        # Without a driver's name SQLAlchemy takes one that is not installed here.
        return re.sub(r"^postgresql://", "postgresql+psycopg://", self.address)

    @property
    def shown(self) -> str:
        """The address without a password, for people.

        Example:
            >>> MirrorPlace(Path("m"), "x", "postgresql://ana:secret@db/mlflow").shown
            'postgresql+psycopg://ana:***@db/mlflow'
        """
        return without_password(self.uri)

    @property
    def artifact_location(self) -> str | None:
        """Where artifacts of the experiment go; None for what a server says."""
        if self.artifact_root is not None:
            return self.artifact_root
        is_server = self.address is not None and self.address.startswith("http")
        return None if is_server else str(self.folder / ARTIFACTS)

    @property
    def is_there(self) -> bool:
        """Whether there is a mirror, or an address at which one is wanted."""
        return self.address is not None or self.database.exists()


def prepare(place: MirrorPlace) -> None:
    """Make a mirror fit to be opened: nothing is reported to anybody, somebody answers, and there is a database.

    Raises:
        MirrorUnavailableError: If nobody answers, or access is refused.
        MirrorConflictError: If the database is of another release of MLflow.
        InputError: If a library that the address needs is not installed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow.version

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if place.is_embedded:
        _prepare_embedded(place, mlflow.version.VERSION)
    elif place.uri.startswith("http"):
        _require_answer(place)
    if not place.uri.startswith("http"):
        _require_database(place)


def _prepare_embedded(place: MirrorPlace, release: str) -> None:
    place.folder.mkdir(parents=True, exist_ok=True)
    if place.database.exists() or release != SEED_RELEASE:
        return
    # Linked to its name when it is whole: nobody sees a part, and of two at once the first one's stays.
    scratch = place.folder / f".{DATABASE}-{uuid4().hex[:8]}"
    try:
        with closing(sqlite3.connect(scratch)) as connection:
            connection.executescript(SEED.read_text())
        with suppress(FileExistsError):
            os.link(scratch, place.database)
    finally:
        scratch.unlink(missing_ok=True)


def _require_answer(place: MirrorPlace) -> None:
    import requests

    try:
        answer = requests.get(f"{place.uri.rstrip('/')}/health", timeout=_CONNECT_SECONDS)
    except requests.RequestException as error:
        raise unavailable(place, "does not answer", error) from error
    if not answer.ok:
        raise unavailable(place, f"answers {answer.status_code} {answer.reason}")


def _require_database(place: MirrorPlace) -> None:
    """Look at a database before MLflow does, which tries to connect for minutes and then migrates what it likes."""
    import sqlalchemy

    arguments = {} if place.is_embedded else {"connect_timeout": _CONNECT_SECONDS}
    try:
        engine = sqlalchemy.create_engine(place.uri, connect_args=arguments)
    except ImportError as error:
        raise missing_library("psycopg", "a PostgreSQL database") from error
    try:
        with engine.connect() as connection:
            tables = sqlalchemy.inspect(connection).get_table_names()
            found = (
                connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
                if "alembic_version" in tables
                else None
            )
    except sqlalchemy.exc.SQLAlchemyError as error:
        if place.is_embedded and any(words in str(error) for words in _DAMAGED):
            raise MirrorUnavailableError(
                f"MLflow at {place.shown} cannot be opened: {first_line(error)}.",
                remedy=_anew(place),
                place=place.shown,
            ) from error
        raise unavailable(place, "cannot be opened", error) from error
    finally:
        engine.dispose()
    if tables and found != _newest_schema():
        raise MirrorConflictError(
            f"The database at {place.shown} is of another release of MLflow (its schema is {found}); nothing was "
            "changed in it.",
            remedy=_anew(place)
            if place.is_embedded
            else Sentence(
                "Upgrade it with `mlflow db upgrade`, or name an empty database; then: ", Action("mlflow sync"), "."
            ),
            found=found,
        )


def _anew(place: MirrorPlace) -> Sentence:
    return Sentence(
        f"Move `{place.folder}` aside and make the mirror anew from the ledger: ", Action("mlflow sync"), "."
    )


def _newest_schema() -> str | None:
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    head: str | None = ScriptDirectory.from_config(_get_alembic_config(db_url="")).get_current_head()
    return head


def unavailable(place: MirrorPlace, what: str, error: BaseException | None = None) -> MirrorUnavailableError:
    """Return the error of a mirror that could not be reached or written."""
    why = "" if error is None else f": {line_without_password(error)}"
    return MirrorUnavailableError(
        f"MLflow at {place.shown} {what}{why}.",
        remedy=Sentence("Mend the access, then catch up: ", Action("mlflow sync"), "."),
        place=place.shown,
    )


def missing_library(name: str, what: str) -> InputError:
    """Return the error of a library that only some places need."""
    package = {"psycopg": '"psycopg[binary]"'}.get(name, name)
    return InputError(
        f"MLflow needs the library `{name}` for {what}, and it is not installed.",
        remedy=f"Install it into this environment: pip install {package}.",
        library=name,
    )


def line_without_password(error: BaseException) -> str:
    """Return what an error says in one line, without a password that is part of an address."""
    return without_password(first_line(error))
