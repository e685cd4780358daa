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

    from forecast_assets.operations.stream_broker import required_broker
    from forecast_assets.serving.stream.server import StreamOptions, run_stream

    settings = current()
    with closing(required_broker(settings)) as broker:
        run_stream(settings, broker, StreamOptions(at_once, log_requests), echo=click.echo)


@stream.group("dead-letters", invoke_without_command=True, epilog=examples("forecast-assets stream dead-letters"))
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@click.pass_context
def dead_letters(context: click.Context, limit: int) -> None:
    """List messages that could not be worked off, the newest first, each with the reason."""
    if context.invoked_subcommand is None:
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
