"""Being told to stop.

What belongs here: from signals to something that can be asked and waited for. What does not: what is done about it.
"""

import signal
from threading import Event
from types import FrameType


def stopped_by_signals() -> Event:
    """Return what SIGTERM or Ctrl-C sets; the second of them ends the process as usual."""
    stopped = Event()

    def stop(number: int, _: FrameType | None) -> None:
        stopped.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopped
