"""Commands of the stream: requests and observations from a message broker.

What belongs here: their arguments. What does not: logic.
"""

from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import current, examples

if TYPE_CHECKING:
    from resources.operational.stream_letters import StreamLetters


@click.group()
def stream() -> None:
    """Requests and observations from Apache Kafka: answered, and ingested, as everywhere else.

    Needs FORECAST_ASSETS_BROKER. Names of topics begin with FORECAST_ASSETS_TOPIC_PREFIX.
    """


@stream.command(
    "serve",
    epilog=examples(
        "forecast-assets keys create --name orders --role planner",
        "FORECAST_ASSETS_BROKER=kafka:9092 forecast-assets stream serve",
        "forecast-assets stream serve --at-once 64 --no-log-requests",
    ),
)
@click.option("--at-once", default=32, show_default=True, type=click.IntRange(1, 1_000), help="Requests under way at "
              "most; while there are so many, none are read.")  # fmt: skip
@click.option("--log-requests/--no-log-requests", default=True, show_default=True, help="A line for each request.")
def serve(at_once: int, *, log_requests: bool) -> None:
    """Answer requests of the topic PREFIX.requests on PREFIX.answers.

    A request has the headers `authorization` (Bearer KEY), `x-request-id` and `question` (forecasts, risks,
    explanations, explain, history, predict, compare, versions), and as its value what HTTP takes, in JSON. Its answer
    has the same key, the same id, a `status`, and the body that HTTP has. The same request again has the same answer.
    What is no request goes to PREFIX.dead-letters. Stop with Ctrl-C: what is under way is answered first.
    """
    from contextlib import closing

    from forecast_assets.operations.home_broker import required_broker
    from forecast_assets.serving.stream.server import StreamOptions, run_stream

    settings = current()
    with closing(required_broker(settings)) as broker:
        run_stream(settings, broker, StreamOptions(at_once, log_requests), echo=click.echo)


@stream.command(
    "ingest",
    epilog=examples(
        "forecast-assets stream ingest --source pos --lag-hours 6",
        "forecast-assets stream ingest --source pos --feed sales --feed stock_status --lag-hours 6",
        "forecast-assets stream ingest --source erp --feed prices --trust 0.8 --seconds 300",
        "forecast-assets stream ingest --source pos --lag-hours 6 --listed-days 364",
    ),
)
@click.option("--source", required=True, help="Who says what is on the topics, for example pos.")
@click.option("--feed", "feeds", multiple=True, help="Feed whose topic is read; may be repeated; default: all.")
@click.option("--trust", default=1.0, show_default=True, type=click.FloatRange(0, 1), help="How far to believe it "
              "against other sources.")  # fmt: skip
@click.option("--lag-hours", default=0.0, show_default=True, type=click.FloatRange(0, 720), help="Hours after the end "
              "of a day until it is complete for that day.")  # fmt: skip
@click.option("--listed-days", type=click.IntRange(1, 3_650), help="Where only what was sold is said: days after its "
              "last sale that an article is listed; without it, a missing day is one that may still come.")  # fmt: skip
@click.option("--records", "most_records", default=250_000, show_default=True, type=click.IntRange(1), help="A batch "
              "is cut at about so many records,")  # fmt: skip
@click.option("--seconds", "most_seconds", default=60.0, show_default=True, type=click.FloatRange(0.1), help="or so "
              "long after its first one.")  # fmt: skip
def ingest(
    source: str,
    feeds: tuple[str, ...],
    trust: float,
    lag_hours: float,
    listed_days: int | None,
    most_records: int,
    most_seconds: float,
) -> None:
    """Ingest records of the topics PREFIX.observations.FEED, in batches, with the checks of any other ingest.

    A message has one record of a feed's columns as JSON, a record a line, or an array. Records that are none, and
    messages that a check refuses, go to PREFIX.dead-letters; the others go on. Stop with Ctrl-C: what was read is
    ingested first.
    """
    from contextlib import closing
    from datetime import timedelta

    from forecast_assets.core.signals import stopped_by_signals
    from forecast_assets.launch import Runner
    from forecast_assets.operations.home_broker import required_broker
    from forecast_assets.operations.stream_ingesting import STREAMED, ObservationStream, StreamIngestOptions
    from forecast_assets.presentation.stream import stream_ingested_text
    from forecast_assets.sources.stream_records import StreamSource

    settings = current()
    said = StreamSource(source, trust, timedelta(hours=lag_hours), listed_days)
    options = StreamIngestOptions(feeds or STREAMED, said, most_records, most_seconds=most_seconds)
    with closing(required_broker(settings)) as broker:
        reading = ObservationStream(Runner(settings), broker, settings.topic_prefix, _letters(), options)
        click.echo(f"Ingesting {', '.join(reading.topics)}, by {broker.place}. Stop with Ctrl-C.")
        reading.run(stopped_by_signals(), lambda done: click.echo(stream_ingested_text(done)))


@stream.group("dead-letters")
def dead_letters() -> None:
    """Messages that could not be worked off, each with the reason."""


@dead_letters.command("list", epilog=examples("forecast-assets stream dead-letters list"))
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many at most.")
def list_letters(limit: int) -> None:
    """List them, the newest first."""
    from forecast_assets.presentation.stream import stream_letters_text

    letters = _letters()
    click.echo(stream_letters_text(letters.newest(limit), letters.count()))


@dead_letters.command("show", epilog=examples("forecast-assets stream dead-letters show 7"))
@click.argument("number", type=int)
def show_letter(number: int) -> None:
    """Show one: where it stood, its headers, the reason, and what it says."""
    from forecast_assets.presentation.stream import stream_letter_text

    click.echo(stream_letter_text(_letters().find(number)))


def _letters() -> "StreamLetters":
    from resources.operational.stream_letters import StreamLetters

    return StreamLetters(current().stream_path)


COMMANDS: Final = (stream,)
