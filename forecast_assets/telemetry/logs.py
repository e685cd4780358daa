"""Lines of the log: for people, or as JSON lines, with what they are about and without secrets.

What belongs here: how a line looks. What does not: when one is written; everything logs by Python's `logging`, and
what commands print is no log.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

from forecast_assets.core import spans
from forecast_assets.core.log_context import bound_now
from forecast_assets.telemetry.scrubbing import scrubbed, scrubbed_text

# What `logging` itself puts on a record; all else was given by who logs.
_OWN: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "color_message", "taskName"})


def start_logs(log_format: str, level: int, stream: TextIO | None = None) -> None:
    """Let all that is logged in this process be written to one stream from now on.

    Args:
        log_format: `console` or `json`.
        level: Of the least that is written.
        stream: Where; standard error if left out.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_json_lines() if log_format == "json" else _ForPeople("%(asctime)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def start_batch_logs(log_format: str) -> None:
    """Let warnings of a command, or of a process of Dagster, be written as is asked, and without secrets.

    Args:
        log_format: `console`, by which they are bare messages on standard error as Python writes them by itself, and
            Dagster's own lines as Dagster is set up; or `json`, by which all are lines of JSON there.
    """
    if log_format == "json":
        start_logs(log_format, logging.WARNING)
    elif logging.lastResort is not None:
        logging.lastResort.setFormatter(_ForPeople("%(message)s"))


class _ForPeople(logging.Formatter):
    """Time and message, the traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record, scrubbed with all that was put into them."""
        return scrubbed_text(super().format(record))


def _json_lines() -> logging.Formatter:
    import structlog

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_given],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _about,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _scrub,
            structlog.processors.JSONRenderer(ensure_ascii=False, sort_keys=False),
        ],
    )


def _given(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add where a line comes from, and what whoever logged gave beside the message."""
    record: logging.LogRecord = event["_record"]
    event.update({name: value for name, value in vars(record).items() if name not in _OWN})
    event.update(level=record.levelname.lower(), logger=record.name)
    return event


def _about(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add what the line is about, where it does not say so itself."""
    for name, value in {**bound_now(), **spans.about()}.items():
        event.setdefault(name, value)
    return event


def _scrub(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    clean: MutableMapping[str, Any] = scrubbed(event)
    return clean
