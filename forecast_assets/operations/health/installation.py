"""Probes of the installation: home, Python, libraries, catalogue, Dagster's home, an open vacuum, permissions.

What belongs here: what `doctor` alone tells, since it changes with a deployment, not by night. What does not: anything
that a person has to be woken for.
"""

import os
import re
import socket
import stat
import sys
from collections.abc import Iterable
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import first_ten
from forecast_assets.core.health import HealthFinding
from forecast_assets.core.wording import counted
from forecast_assets.operations.health.look import HomeLook, Seen, not_watched
from resources.maintenance.verification import parsed_head
from resources.orchestration.recorded_heads import catalogue_head

PORTS: Final = {"UI": 3000, "service": 8000}
_PORT_SECONDS: Final = 0.5
LEAST_PYTHON: Final = (3, 11)
LOCK: Final = Path(__file__).parents[3] / "requirements.lock"
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\]+?))?\s*\\?$", re.MULTILINE)


def home(look: HomeLook) -> Seen:
    """Look whether the home folder is there and may be read and written."""
    folder = look.settings.home.expanduser().absolute()
    there = next(part for part in (folder, *folder.parents) if part.exists())
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        remedy = "Make it writable for this user, or set FORECAST_ASSETS_HOME to one that is."
        found = HealthFinding("home-unusable", str(folder), f"{there} cannot be read and written.", remedy)
        return Seen("not usable", (found,))
    store = look.settings.store_folder
    if store.exists() and not os.access(store, os.W_OK | os.X_OK):
        remedy = "Make it writable for the user of runs; whoever only reads needs no more."
        return Seen("store read-only", (HealthFinding("home-unusable", str(store), f"{store} is read-only.", remedy),))
    return Seen(str(folder) if folder.exists() else f"{folder}, which the first command makes")


def python(look: HomeLook) -> Seen:
    """Look whether Python is new enough."""
    del look
    found = sys.version_info[:3]
    words = ".".join(map(str, found))
    if found[:2] < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        remedy = f"Install Python {least} or newer, and the environment anew."
        return Seen(words, (HealthFinding("python-too-old", "python", f"Python {words} is too old.", remedy),))
    return Seen(words)


def libraries(look: HomeLook) -> Seen:
    """Look whether libraries have the versions of the lock."""
    del look
    if not LOCK.is_file():
        return not_watched("installed without its lock")
    pins = dict(pinned(LOCK.read_text(encoding="utf-8")))
    different = [each for name, wanted in pins.items() if (each := _difference(name, wanted))]
    if not different:
        return Seen(f"{len(pins)} as in the lock")
    finding = HealthFinding(
        "versions-differ",
        "libraries",
        f"{counted(len(different), 'library is', 'libraries are')} not as in the lock: {first_ten(different)}.",
        "Install what the lock has: make install. Numbers are promised to the bit for the same libraries alone.",
        {"different": different},
    )
    return Seen("differ", (finding,))


def pinned(lock: str) -> Iterable[tuple[str, str]]:
    r"""Yield name and version of each pin of a lock that holds on this machine.

    Example:
        >>> list(pinned("polars==2.1.0 \\\n    --hash=sha256:ab\nlater==1 ; python_full_version >= '99'\n"))
        [('polars', '2.1.0')]
    """
    from packaging.markers import Marker

    for name, wanted, marker in _PIN.findall(lock):
        if not marker or Marker(marker).evaluate():
            yield name, wanted


def _difference(name: str, wanted: str) -> str:
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{name} is not installed instead of {wanted}"
    return "" if found == wanted else f"{name} {found} instead of {wanted}"


def catalogue(look: HomeLook) -> Seen:
    """Look whether the catalogue has the newest publication."""
    newest = max((run.sequence for run in look.state.publications.values()), default=0)
    if not newest:
        return not_watched("nothing is published")
    recorded = catalogue_head(look.settings.catalogue_path)
    sequence = parsed_head(recorded.head)[0] if recorded.head else 0
    if sequence >= newest:
        return Seen(f"as of entry {sequence}")
    why = f"cannot be read: {recorded.trouble}" if recorded.trouble else f"is as of entry {sequence}"
    finding = HealthFinding(
        "catalogue-behind",
        "catalogue",
        f"The catalogue {why}; the newest publication is entry {newest}.",
        Sentence("Build it: ", Action("catalogue"), "."),
        {"sequence": sequence, "newest": newest},
    )
    return Seen("behind", (finding,))


def dagster(look: HomeLook) -> Seen:
    """Look whether Dagster's home and history can be read."""
    trouble = look.history.trouble()
    if not trouble:
        return Seen(str(look.settings.dagster_folder))
    remedy = f"Mend it, or move `{look.settings.dagster_folder}` aside: it holds the past of the UI, no data."
    return Seen("not usable", (HealthFinding("dagster-home", "dagster", trouble, remedy),))


def vacuum(look: HomeLook) -> Seen:
    """Look whether a vacuum began and did not end: what publishes meanwhile waits."""
    begun = look.state.open_vacuum
    if begun is None:
        return Seen("none is under way")
    finding = HealthFinding(
        "vacuum-open",
        "vacuum",
        f"A vacuum that began with ledger entry {begun.sequence}, at {begun.recorded_at}, has not ended.",
        Sentence("If it was interrupted, end it: ", Action("vacuum", {"remove": True, "by": "NAME"}), "."),
    )
    return Seen("under way", (finding,))


def ports(look: HomeLook) -> Seen:
    """Look who listens where the UI and the service do by default; either may be meant to, so that neither is wrong."""
    del look
    return Seen(", ".join(f"{name} {port}: {_listens(port)}" for name, port in PORTS.items()))


def _listens(port: int) -> str:
    with closing(socket.socket()) as asked:
        asked.settimeout(_PORT_SECONDS)
        return "somebody listens" if asked.connect_ex(("127.0.0.1", port)) == 0 else "free"


def permissions(look: HomeLook) -> Seen:
    """Look whether others than the owner may write to the store or to what the home knows of keys."""
    folders = [look.settings.store_folder, look.settings.operational_path.parent, look.settings.operational_path]
    open_to_all = [str(path) for path in folders if path.exists() and path.stat().st_mode & stat.S_IWOTH]
    if not open_to_all:
        return Seen("nobody but owner and group may write")
    words = f"Everybody may write to {first_ten(open_to_all)}."
    remedy = "Take it back: chmod -R o-w. Whoever may write there can change what is told."
    return Seen("too open", (HealthFinding("too-open", "home", words, remedy),))
