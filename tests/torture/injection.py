"""Doing harm to a process at one of its calls that change the disk.

What belongs here: compiling the shim (`faults.c`), arming it, reading what it counted, and spreading cases over points.
What does not: what the process does, or what must hold after it.
"""

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import pytest

SOURCE: Final = Path(__file__).with_name("faults.c")
# As in faults.c.
WATCH, KILL_BEFORE, KILL_HALF, KILL_AFTER, FAIL_ONCE, FAIL_FROM = range(6)
EVERY_KIND: Final = "ndsra"


@dataclass(frozen=True)
class Harm:
    """What is done to a process, and at which of its counted calls.

    Attributes:
        action: One of the actions above.
        at: Number of the call, from 1.
        error: errno that the call fails with.
        kinds: Kinds of calls that it strikes: n names, d bytes, s syncs, r removals, a attributes.
    """

    action: int = WATCH
    at: int = 0
    error: int = 0
    kinds: str = EVERY_KIND


@dataclass(frozen=True)
class Trouble:
    """A way in which a disk fails.

    Attributes:
        name: What an operator would call it.
        error: errno of the calls that fail.
        kinds: Kinds of calls that fail then.
        lasts: Whether it goes on failing after the first call.
    """

    name: str
    error: int
    kinds: str
    lasts: bool

    def harm(self, at: int) -> Harm:
        """Return the harm that begins at a call."""
        return Harm(FAIL_FROM if self.lasts else FAIL_ONCE, at, self.error, self.kinds)


TROUBLES: Final = (
    Trouble("disk full", errno.ENOSPC, "nd", lasts=True),
    Trouble("disk full for a moment", errno.ENOSPC, "nd", lasts=False),
    Trouble("read-only", errno.EROFS, "ndra", lasts=True),
    Trouble("permission denied", errno.EACCES, "nra", lasts=True),
    Trouble("a bad sector", errno.EIO, EVERY_KIND, lasts=False),
    Trouble("a dead disk", errno.EIO, EVERY_KIND, lasts=True),
)


@dataclass(frozen=True)
class Call:
    """A counted call: its number, kind, name, and the path that it changes."""

    number: int
    kind: str
    name: str
    path: str


@dataclass(frozen=True)
class Report:
    """What the shim saw: the calls, and the number and deed of every time that it struck."""

    calls: tuple[Call, ...]
    deeds: tuple[tuple[int, str], ...]

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Read a report file; nothing was counted if there is none."""
        lines = [line.split(" ", 3) for line in path.read_text().splitlines()] if path.exists() else []
        calls = [Call(int(line[0]), *line[1:]) for line in lines if len(line[1]) == 1]
        deeds = [(int(line[0]), " ".join(line[1:])) for line in lines if len(line[1]) > 1]
        return cls(tuple(calls), tuple(deeds))


@cache
def compiled_shim() -> Path:
    """Return the shim, compiled once per test process; a machine without a C compiler skips, but never in CI."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have a C compiler: kills and faults are injected by a small library")
        pytest.skip("no C compiler (gcc or cc) for the library that injects kills and faults")
    library = Path(mkdtemp(prefix="forecast-assets-faults-")) / "faults.so"
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"]
    subprocess.run(command, check=True)
    return library


def preloaded() -> dict[str, str]:
    """Return the environment of a process that arms itself later."""
    return {**os.environ, "LD_PRELOAD": str(compiled_shim())}


def armed(harm: Harm, home: Path, report: Path) -> dict[str, str]:
    """Return the environment of a process that is armed from its start."""
    return {
        **preloaded(),
        "FAULTS_HOME": str(home.resolve()),
        "FAULTS_REPORT": str(report),
        "FAULTS_AT": str(harm.at),
        "FAULTS_ACTION": str(harm.action),
        "FAULTS_ERRNO": str(harm.error),
        "FAULTS_KINDS": harm.kinds,
    }


def arm(harm: Harm, home: Path, report: Path) -> None:
    """Arm this process, in which the shim is preloaded."""
    ctypes.CDLL(None).faults_arm(
        os.fsencode(home.resolve()),
        os.fsencode(report),
        ctypes.c_long(harm.at),
        harm.action,
        harm.error,
        harm.kinds.encode(),
    )


def kills(calls: Sequence[Call]) -> list[Harm]:
    """Return every kill that leaves another disk behind: before each call, in the middle of each write, at the end.

    After one call and before the next the disk is the same, so that only the last call is also killed after.
    """
    found = []
    for call in calls:
        found.append(Harm(KILL_BEFORE, call.number))
        if "write" in call.name:
            found.append(Harm(KILL_HALF, call.number))
    return [*found, Harm(KILL_AFTER, calls[-1].number)]


def faults(calls: Sequence[Call]) -> list[Harm]:
    """Return every way in which each call can fail."""
    return [trouble.harm(call.number) for call in calls for trouble in TROUBLES if call.kind in trouble.kinds]


def spread(cases: Mapping[str, Sequence[Harm]], number: int) -> list[tuple[str, Harm]]:
    """Return so many cases, spread evenly over all of them in their order; all, if there are not more.

    Example:
        >>> [harm.at for _, harm in spread({"a": [Harm(at=at) for at in range(10)]}, 3)]
        [0, 3, 6]
    """
    every = [(name, harm) for name, harms in cases.items() for harm in harms]
    return [every[at * len(every) // number] for at in range(number)] if number < len(every) else every
