"""The process that is harmed while it backs up or restores, and what must hold after any harm.

What belongs here: what is backed up and restored, and what is judged. What does not: where harm strikes, or how often.

Run as a program it is a server, as `publisher` is: one process that is harmed and one that judges for every line of
JSON that it is given.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from forecast_assets.operations.backing_up import back_up, verify_backup
from forecast_assets.operations.restoring import MARKER, restore
from resources.maintenance.verification import verify_store
from resources.store.provenance import code_version
from resources.stores.home import open_stores
from tests.support.backup_cases import no_pages, said, say, settings_of, small_home, stores_of, tree
from tests.support.store_cases import publish, run_key
from tests.torture.injection import Call, Harm, Report, arm, preloaded
from tests.torture.publisher import DONE, REPOSITORY, Case, _in_child


def live(folder: Path) -> Path:
    return folder / "live"


def backup(folder: Path) -> Path:
    return folder / "backup"


def restored(folder: Path) -> Path:
    return folder / "restored"


@dataclass(frozen=True)
class Keeping:
    """Something that is done to a backup.

    Attributes:
        prepare: Makes the folder as it is before.
        act: Does it; done again, it completes what is missing.
        changes: The folder that it writes to.
    """

    prepare: Callable[[Path], None]
    act: Callable[[Path], None]
    changes: Callable[[Path], Path]


def _prepared(folder: Path) -> None:
    small_home(live(folder), runs=1)


def _with_earlier(folder: Path) -> None:
    """A backup that is behind: a run, a database and a pointer have come since, and an old snapshot has to go."""
    _prepared(folder)
    _back_up(folder)
    settings = settings_of(live(folder))
    publish(stores_of(settings), run_key(1), 6)
    say(settings, "the second")


def _with_whole(folder: Path) -> None:
    _prepared(folder)
    _back_up(folder)


def _back_up(folder: Path) -> None:
    back_up(settings_of(live(folder)), str(backup(folder)), keep=1)


def _restore(folder: Path) -> None:
    home = restored(folder)
    is_over = (home / "store" / "ledger").exists() and not (home / MARKER).exists()
    if not is_over:
        restore(settings_of(home), str(backup(folder)), no_pages, resumes=(home / MARKER).exists())


KEEPINGS: Final[Mapping[str, Keeping]] = {
    "a first backup": Keeping(_prepared, _back_up, backup),
    "a backup of what is new": Keeping(_with_earlier, _back_up, backup),
    "a restore": Keeping(_with_whole, _restore, restored),
}


# --- what must hold ---


def _hashes(store: Path) -> list[str]:
    return [entry.hash for entry in open_stores(store).ledger.entries()] if store.exists() else []


def _require_usable(folder: Path, changed: Path) -> int:
    """A backup, or a home, that was left at any moment is a store of a position: return the last entry of one."""
    whole = _hashes(live(folder) / "store")
    for place in (backup(folder), restored(folder)):
        entries = _hashes(place / "store")
        assert entries == whole[: len(entries)], f"{place.name} has other entries"
        if (place / "store").exists():
            findings = verify_store(open_stores(place / "store").blobs).findings
            assert not findings, findings
    if _hashes(backup(folder) / "store"):
        found = verify_backup(settings_of(live(folder)), str(backup(folder)))
        assert not found.wrong, found.wrong
        assert not found.store.findings, found.store.findings
    return len(_hashes(changed / "store"))


def _facts(folder: Path, keeping: Keeping) -> dict[str, object]:
    """Return what the end of a keeping is told by: its store, and what its databases say."""
    place = keeping.changes(folder)
    files = tree(place / "store")
    if place == restored(folder):
        return {"store": files, "said": said(place), "events": tree(place / "serving")}
    index = json.loads((place / "backup.json").read_text())
    named = sorted(file["sha256"] for each in index["snapshots"] for file in each["files"])
    held = sorted(path.name.split(".")[0] for path in (place / "files").iterdir() if path.is_file())
    (database,) = (place / "files").glob(f"{_database_of(index)}.sqlite")
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        words = [what for (what,) in connection.execute("SELECT what FROM said")]
    return {"store": files, "said": words, "head": index["head"], "snapshots": len(index["snapshots"]),
            "lacking": [each for each in named if each not in held]}  # fmt: skip


def _database_of(index: Mapping[str, Any]) -> str:
    (found,) = (file["sha256"] for file in index["snapshots"][-1]["files"] if file["path"].endswith(".sqlite"))
    return str(found)


class _Prepared:
    """A keeping's folder as it is before, and what an unharmed process makes of it."""

    def __init__(self, keeping: Keeping, folder: Path) -> None:
        self._keeping, self._folder, self._template = keeping, folder, folder / "before"
        _told(lambda: keeping.prepare(self._template))
        home, report = self._copy("unharmed"), folder / "calls"

        def act() -> dict[str, object]:
            arm(Harm(), home, report)
            keeping.act(home)
            return _facts(home, keeping)

        self._unharmed = _told(act)
        self.calls = Report.read(report).calls
        shutil.rmtree(home)

    def _copy(self, name: str) -> Path:
        shutil.copytree(self._template, self._folder / name, symlinks=True)
        return self._folder / name

    def case(self, harm: Harm) -> dict[str, Any]:
        """Harm one process, and judge what it left."""
        folder, report = self._copy("harmed"), self._folder / "report"
        report.unlink(missing_ok=True)

        def act() -> str:
            arm(harm, folder, report)
            self._keeping.act(folder)
            return DONE

        before = tree(live(folder) / "store")
        code, _ = _in_child(act)
        judged, verdict = _in_child(lambda: self._judged(folder, before))
        shutil.rmtree(folder)
        return {
            "code": code, "said": "", "deeds": Report.read(report).deeds,
            "visible": int(verdict) if judged == 0 else None,
            "wrong": "" if judged == 0 else verdict or f"the judge ended with {judged}",
        }  # fmt: skip

    def _judged(self, folder: Path, before: Mapping[str, str]) -> int:
        changed = self._keeping.changes(folder)
        visible = _require_usable(folder, changed)
        self._keeping.act(folder)
        assert _facts(folder, self._keeping) == self._unharmed, "done again, it has other content"
        _require_usable(folder, changed)
        assert tree(live(folder) / "store") == before, "the store that was backed up has changed"
        return visible


def _told(action: Callable[[], Any]) -> Any:
    code, word = _in_child(action)
    assert code == 0, word or f"ended with {code}"
    return json.loads(word)


def serve(folder: Path) -> None:
    """Answer requests: a keeping's name is prepared and its calls told; with harm, one case is tried."""
    code_version()
    ready: dict[str, _Prepared] = {}
    for line in sys.stdin:
        request = json.loads(line)
        name = request["name"]
        if name not in ready:
            ready[name] = _Prepared(KEEPINGS[name], folder / str(len(ready)))
        harm = request["harm"]
        answer = ready[name].case(Harm(**harm)) if harm else [asdict(call) for call in ready[name].calls]
        print(json.dumps(answer), flush=True)


class Keeper:
    """A running server."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def calls(self, name: str) -> list[Call]:
        """Return the calls of an unharmed process."""
        return [Call(**call) for call in self._ask(name, None)]

    def case(self, name: str, harm: Harm) -> Case:
        """Harm one process."""
        return Case(**self._ask(name, asdict(harm)))

    def _ask(self, name: str, harm: dict[str, Any] | None) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"name": name, "harm": harm}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the keeper ended; what it printed is above"
        return json.loads(answer)


@contextmanager
def keeping(folder: Path) -> Iterator[Keeper]:
    """Start a keeper that works in a folder."""
    threads = {"OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    environment = {**preloaded(), **threads, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    command = [sys.executable, "-m", "tests.torture.keeper", str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY
    ) as process:
        yield Keeper(process)
        assert process.stdin
        process.stdin.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
