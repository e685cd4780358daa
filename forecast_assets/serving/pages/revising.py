"""Publishing a revision from a page: the command, as a process of its own, one at a time.

What belongs here: starting the command, and what became of it. What does not: publishing (the command does that, with
Dagster, which a service never loads), or who may.

The process outlives the service: it holds a lock on a file, which its end releases however it ends, and leaves its exit
code beside what it said. So every process of the service tells the same, also one that is started later.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any, Final

from forecast_assets.core.errors import NotReadyError
from forecast_assets.core.keys import RunKey

_LOCK: Final = "lock"
_SAID_CHARACTERS: Final = 4_000
# Runs what follows its first argument, and leaves under that name what it said and its exit code.
_SCRIPT: Final = 'at=$1; shift; "$@" >"$at.log" 2>&1; echo $? >"$at.part" && mv "$at.part" "$at.code"'


def revising_command() -> tuple[str, ...]:
    """Return the command that publishes a revision, without its arguments."""
    return str(Path(sys.executable).with_name("forecast-assets")), "overrides", "publish"


@dataclass(frozen=True)
class Revising:
    """Starts revisions of one home, and tells of the newest.

    Attributes:
        folder: Where what it leaves is; made when it is needed.
        home: Folder of the home.
        clock: Returns the present moment.
        command: Publishes a revision.
    """

    folder: Path
    home: Path
    clock: Callable[[], datetime]
    command: Sequence[str] = ()

    def start(self, run: RunKey, *, by: str, reason: str) -> None:
        """Begin to publish a revision of a run.

        Raises:
            NotReadyError: If one is being published.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise NotReadyError(
                    "A revision is being published already.", remedy="Wait until it is done, then ask again."
                ) from error
            now = self.clock()
            at = self.folder / f"{now:%Y%m%dT%H%M%S%f}"
            said = {"run": str(run), "by": by, "reason": reason, "started_at": f"{now:%Y-%m-%d %H:%M:%SZ}"}
            command = [*(self.command or revising_command()), str(run), f"--by={by}", f"--reason={reason}"]
            process = subprocess.Popen(  # noqa: S603 - the key of a run, and texts that are arguments and nothing else
                ["/bin/sh", "-c", _SCRIPT, "sh", str(at), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "FORECAST_ASSETS_HOME": str(self.home.expanduser().absolute())},
                pass_fds=(lock.fileno(),),
                start_new_session=True,
            )
            at.with_suffix(".json").write_text(json.dumps(said))
        # Its end is taken notice of, so that nothing of it is left among the processes.
        Thread(target=process.wait, name="revision", daemon=True).start()

    def newest(self) -> Mapping[str, Any] | None:
        """Return the newest revision that was asked for: `run, by, reason, started_at, state, said`; None if none was.

        Its `state` is running, finished or failed.
        """
        names = sorted(self.folder.glob("*.json"))
        if not names:
            return None
        at = names[-1]
        log, code = at.with_suffix(".log"), at.with_suffix(".code")
        is_running = self._is_running()
        said = log.read_text(errors="replace")[-_SAID_CHARACTERS:].strip() if log.exists() else ""
        if is_running:
            state = "running"
        elif code.exists() and code.read_text().strip() == "0":
            state = "finished"
        else:
            state = "failed"
            said = said or "The process was ended before it said anything."
        return {**json.loads(at.read_text()), "state": state, "said": said}

    def _is_running(self) -> bool:
        with suppress(FileNotFoundError), (self.folder / _LOCK).open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False
