"""How much memory there is to take.

What belongs here: asking the system. What does not: deciding what to do with little of it.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

_MACHINE: Final = Path("/proc/meminfo")
_CONTAINER: Final = Path("/sys/fs/cgroup")


def free_memory(machine: Path = _MACHINE, container: Path = _CONTAINER) -> int | None:
    """Return how many bytes this process may still take: of the machine's or its container's, whichever are fewer.

    Args:
        machine: What Linux says of the machine.
        container: What it says of the group of processes that this one is in.

    Returns:
        None where the system does not say.
    """
    found = []
    with suppress(OSError, ValueError):
        found.append(1024 * _figure(machine, "MemAvailable:"))
    with suppress(OSError, ValueError):
        # What is read from files can be given back.
        used = int((container / "memory.current").read_text()) - _figure(container / "memory.stat", "inactive_file")
        found.append(max(0, int((container / "memory.max").read_text()) - used))
    return min(found, default=None)


def _figure(file: Path, name: str) -> int:
    """Return the number behind a name in a file of names and numbers.

    Raises:
        ValueError: If the name is not there.
    """
    found = re.search(rf"^{re.escape(name)}\s+(\d+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{file} does not say {name}")
    return int(found[1])
