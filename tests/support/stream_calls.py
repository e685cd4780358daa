"""A caller on topics in tests: requests to a broker, and the answers that come."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.stream.answering import Answering, AnsweringOptions
from forecast_assets.serving.stream.door import StreamDoor
from forecast_assets.serving.stream.topics import StreamTopics
from resources.broker.broker import Broker, BrokerMessage, ReceivedMessage
from resources.broker.dead_letters import letters_topic
from resources.operational.stream_answers import StreamAnswers
from resources.operational.stream_letters import StreamLetters

TOPICS = StreamTopics("t")


@dataclass
class StreamCaller:
    """Asks, and reads what is answered.

    Attributes:
        broker: Where.
        key: Of the caller; None for none.
    """

    broker: Broker
    key: str | None
    found: list[ReceivedMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = self.broker.subscribe([TOPICS.answers, letters_topic("t")], "tests")

    def message(
        self, question: str, body: Any, request_id: str | None, lane: str = "", **headers: str
    ) -> BrokerMessage:
        said = {"question": question, **({} if request_id is None else {"x-request-id": request_id})}
        said |= {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        value = body if isinstance(body, bytes) else json.dumps(body).encode()
        return BrokerMessage(TOPICS.requests, lane, value, said | headers)

    def send(self, *messages: BrokerMessage) -> None:
        self.broker.publish(messages)

    def wait(self, count: int, seconds: float = 30.0, topic: str = TOPICS.answers) -> list[ReceivedMessage]:
        """Return the first so many messages of a topic, as they came."""
        until = monotonic() + seconds
        while len(self.of(topic)) < count and monotonic() < until:
            self.found += self._reader.poll(500, 0.05)
        assert len(self.of(topic)) >= count, (topic, len(self.of(topic)), count)
        return self.of(topic)

    def drained(self) -> list[ReceivedMessage]:
        """Return all answers that are there, those that came again too."""
        while new := self._reader.poll(500, 0.1):
            self.found += new
        return self.of(TOPICS.answers)

    def of(self, topic: str) -> list[ReceivedMessage]:
        return [each for each in self.found if each.topic == topic]

    def ask(self, question: str, body: Any, request_id: str, **headers: str) -> ReceivedMessage:
        """Ask one question, and return the newest answer under its id."""
        before = len(self.of(TOPICS.answers))
        self.send(self.message(question, body, request_id, **headers))
        answer = self.wait(before + 1)[-1]
        assert answer.headers["x-request-id"] == request_id
        return answer

    def letters(self, count: int) -> list[ReceivedMessage]:
        return self.wait(count, topic=letters_topic("t"))

    def close(self) -> None:
        self._reader.close()


def answering_on(
    broker: Broker, plane: DataPlane, callers: Callers, path: Path, options: AnsweringOptions | None = None
) -> Answering:
    answers = StreamAnswers(path)
    return Answering(broker, TOPICS, StreamDoor(plane, callers, answers), answers, StreamLetters(path), options)


@contextmanager
def running(answering: Answering) -> Iterator[Event]:
    """Answer in a thread until the block ends; whatever ends it earlier is raised."""
    stopped, failures = Event(), list[BaseException]()

    def run() -> None:
        try:
            answering.run(stopped)
        except BaseException as error:  # noqa: BLE001 - raised where the test sees it
            failures.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        yield stopped
    finally:
        stopped.set()
        thread.join(60)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def read_body(answer: ReceivedMessage) -> Mapping[str, Any]:
    body = json.loads(answer.value)
    assert isinstance(body, dict)
    return body
