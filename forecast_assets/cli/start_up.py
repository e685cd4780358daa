"""A swift start of a short command that imports large libraries.

What belongs here: how they are imported where starting up is most of a command. What does not: which libraries an
answer takes, or processes that go on: what is done here holds for all threads.
"""

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def swift_imports(without: Sequence[str] = ()) -> Iterator[None]:
    """Import inside the block without looking for garbage, and without libraries that are not needed.

    Imported modules stay: looking for garbage among them again and again takes a seventh of the time of all that.

    Args:
        without: Libraries that others import if they are there, and do without if they are not; what is imported before
            stays. After the block they can be imported as ever.
    """
    hidden = [name for name in without if name not in sys.modules]
    was_enabled = gc.isenabled()
    gc.disable()
    for name in hidden:
        # What Python says of it: importing such a name fails, as if it were not installed.
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
        gc.freeze()
        if was_enabled:
            gc.enable()
