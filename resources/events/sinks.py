"""Sinks: who gets every event, the same one each.

What belongs here: handing events over. What does not: trying again, or which sinks there are (the settings).

A sink may get an event twice, since whoever hands it over may die before noting that it did. Each event has its id, by
which a receiver tells.
"""

import os
import select
from collections.abc import Sequence
from typing import Final, Protocol

from forecast_assets.core.errors import StorageError
from resources.events.record import EventRecord
from resources.events.stores import EventStore

STORE: Final = "store"
JSON_LINES: Final = "json_lines"
_STANDARD_OUTPUT: Final = 1
_READER_MILLISECONDS: Final = 1_000


class EventSink(Protocol):
    """Takes events."""

    @property
    def name(self) -> str:
        """As the settings name it."""
        ...

    def take(self, records: Sequence[EventRecord]) -> None:
        """Take events, all or none as far as it can.

        Raises:
            ForecastAssetsError: If it cannot take any now; they are offered again. Any other error says that it will
                never take one of them as it is.
        """
        ...


class StoreSink:
    """Puts events into a store.

    Args:
        store: Where to.
    """

    name: Final = STORE

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def take(self, records: Sequence[EventRecord]) -> None:
        """Put events into the store, each once."""
        self._store.add(records)


class JsonLinesSink:
    """Writes an event a line, for a log shipper.

    Args:
        output: Number of the open file; standard output by default.
    """

    name: Final = JSON_LINES

    def __init__(self, output: int = _STANDARD_OUTPUT) -> None:
        self._output, self._is_within_line = output, False
        # Those of what is taken now that were written before the reader stood still.
        self._told = set[str]()

    def take(self, records: Sequence[EventRecord]) -> None:
        """Write events.

        Raises:
            StorageError: If nobody reads any more, or whoever does has stopped for a while.
        """
        try:
            for record in records:
                if record.event_id in self._told:
                    continue
                # Of what was cut off the last time a line is made: the whole event follows.
                line = (b"\n" if self._is_within_line else b"") + record.content + b"\n"
                while line:
                    self._require_reader()
                    # No more than a pipe takes at once where it takes anything: the rest would wait for its reader.
                    line = line[os.write(self._output, line[: select.PIPE_BUF]) :]
                    self._is_within_line = bool(line)
                self._told.add(record.event_id)
            self._told.clear()
        except OSError as error:
            raise StorageError(
                f"Events cannot be written to standard output: {error}.",
                remedy="Start the log shipper again, and the service with it.",
            ) from error

    def _require_reader(self) -> None:
        """Refuse to wait for a reader that has stopped: other sinks would wait with it."""
        waiting = select.poll()
        waiting.register(self._output, select.POLLOUT)
        if not waiting.poll(_READER_MILLISECONDS):
            raise StorageError(
                f"Nobody has read events from standard output for {_READER_MILLISECONDS / 1000:g} s.",
                remedy="Look why the log shipper stands still; events wait for it, and are handed over again.",
            )
