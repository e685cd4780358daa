"""The service that answers on topics: one process, until it is told to stop.

What belongs here: wiring stores, keys, broker and door, and running them. What does not: any answer.
"""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from forecast_assets.core.signals import stopped_by_signals
from forecast_assets.core.wording import counted
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.request_counts import RequestCounts
from forecast_assets.serving.dataplane.warming import Warming
from forecast_assets.serving.opening import open_plane
from forecast_assets.serving.stream.answering import Answering, AnsweringOptions
from forecast_assets.serving.stream.door import StreamDoor
from forecast_assets.serving.stream.topics import StreamTopics
from forecast_assets.settings import Settings
from resources.broker.broker import Broker
from resources.operational.api_keys import ApiKeys
from resources.operational.stream_answers import StreamAnswers
from resources.operational.stream_letters import StreamLetters
from resources.stores.home import open_stores


@dataclass(frozen=True)
class StreamOptions:
    """How to answer.

    Attributes:
        at_once: Requests that are under way at most.
        log_requests: Whether each request leaves a line on standard error.
    """

    at_once: int = 32
    log_requests: bool = True


def run_stream(settings: Settings, broker: Broker, options: StreamOptions, echo: Callable[[str], None]) -> None:
    """Answer until the process is told to stop; then answer what is under way, and end.

    Args:
        settings: Of the home.
        broker: Where requests come from.
        options: How to answer.
        echo: Says where it reads.
    """
    logging.basicConfig(
        level=logging.INFO if options.log_requests else logging.WARNING, format="%(asctime)s %(message)s"
    )
    counts = RequestCounts(settings.redis)
    plane = open_plane(
        settings, open_stores(settings.store, settings.mirror_folder), also_degraded=counts.degraded
    )  # fmt: skip
    answers, topics = StreamAnswers(settings.stream_path), StreamTopics(settings.topic_prefix)
    callers = Callers(ApiKeys(settings.operational_path), lambda: datetime.now(UTC), counts=counts)
    answering = Answering(
        broker,
        topics,
        StreamDoor(plane, callers, answers),
        answers,
        StreamLetters(settings.stream_path),
        AnsweringOptions(options.at_once, kept_for=timedelta(days=settings.stream_answer_days)),
    )
    stopped = stopped_by_signals()
    with closing(counts), closing(plane), Warming(plane.stores, plane.features, plane.few):
        echo(f"Answering {topics.requests} on {topics.answers}, by {broker.place}. Stop with Ctrl-C.")
        answering.run(stopped)
    done = answering.counts
    echo(f"{counted(done.answered, 'answer')}, {counted(done.dead_lettered, 'dead letter')}.")
