"""Commands of real time: serve, the keys of callers, and the uses that are approved.

What belongs here: their arguments. What does not: logic.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import current, examples, opened
from forecast_assets.serving.access.roles import ROLES

if TYPE_CHECKING:
    from resources.operational.api_keys import ApiKeys


@click.command(
    epilog=examples(
        "forecast-assets keys create --name bi --role reader",
        "forecast-assets serve",
        "forecast-assets serve --port 8123",
        "forecast-assets serve --grpc-port 50051",
        "forecast-assets serve --examples",
        "forecast-assets serve --sandbox",
        'curl -H "Authorization: Bearer $KEY" "http://127.0.0.1:8000/v1/forecasts?channel=champion&limit=28"',
    )
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others than this machine's "
              "own belong behind a proxy that speaks TLS.")  # fmt: skip
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65_535), help="Port; 0 for a free one.")
@click.option("--grpc-port", "rpc_port", type=click.IntRange(0, 65_535), help="Port of gRPC; 0 for a free one; without "
              "it, no gRPC.")  # fmt: skip
@click.option("--sandbox", is_flag=True, help="To try things out: any use is allowed, answers are marked.")
@click.option("--examples", "with_examples", is_flag=True, help="Make a key for a day and show calls that work.")
@click.option("--grace", "grace_seconds", default=3.0, show_default=True, type=click.FloatRange(0, 600), help="Seconds "
              "between SIGTERM, when /health/ready says no, and refusing what is new.")  # fmt: skip
@click.option("--log-requests/--no-log-requests", default=True, show_default=True, help="A line for each request.")
def serve(
    host: str,
    port: int,
    rpc_port: int | None,
    grace_seconds: float,
    *,
    sandbox: bool,
    with_examples: bool,
    log_requests: bool,
) -> None:
    """Answer callers over HTTP or gRPC: published forecasts, risks and explanations of explicit versions.

    What is published is only read: no answer can change it. Callers need a key (keys create). Health is at /health/live
    and /health/ready, the document of all routes at /openapi.json. Stop with Ctrl-C: what is being answered still is.
    """
    from forecast_assets.serving.server import ServerOptions, run_server

    options = ServerOptions(
        host,
        port,
        log_requests,
        is_sandbox=sandbox,
        with_examples=with_examples,
        rpc_port=rpc_port,
        grace_seconds=grace_seconds,
    )
    run_server(current(), options, echo=click.echo)


@click.command(
    epilog=examples(
        "forecast-assets warm",
    )
)
def warm() -> None:
    """Put what what-ifs need of the newest runs where services find it: on disk below the home, or in Redis.

    A service does so by itself, within seconds of a publication. Run this after one where none is running, so that the
    next one that starts answers by the model at once. What is there already is left alone.
    """
    from forecast_assets.serving.features_put import put_newest

    put_newest(current(), echo=click.echo)


@click.group()
def keys() -> None:
    """Keys of those who may call: made, listed, revoked."""


@keys.command(
    "create",
    epilog=examples(
        "forecast-assets keys create --name bi --role reader",
        "forecast-assets keys create --name ana --role planner --days 90",
    ),
)
@click.option("--name", required=True, help="Whose it is: a person or a program.")
@click.option("--role", required=True, type=click.Choice(list(ROLES)), help="What it may do.")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 3_650), help="Days until it expires.")
def create(name: str, role: str, days: int) -> None:
    """Make a key and print it, once: only a hash of it is kept."""
    from forecast_assets.presentation.keys import made_text

    key, text = _keys().create(name, role, now=datetime.now(UTC), valid_for=timedelta(days=days))
    click.echo(made_text(key, text))


@keys.command("list", epilog=examples("forecast-assets keys list"))
def list_keys() -> None:
    """List keys: whose, with which role, until when."""
    from forecast_assets.presentation.keys import keys_text

    click.echo(keys_text(_keys().all(), datetime.now(UTC)))


@keys.command(epilog=examples("forecast-assets keys revoke 9f2c41d07be3"))
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Refuse a key from now on; services notice within seconds."""
    from forecast_assets.presentation.keys import revoked_text

    click.echo(revoked_text(_keys().revoke(key_id, now=datetime.now(UTC))))


@click.group()
def uses() -> None:
    """What predictions in real time may be used for: approved by the policy, with who and why."""


@uses.command("list", epilog=examples("forecast-assets uses list"))
def list_uses() -> None:
    """List the uses that are approved, and by which policy."""
    from forecast_assets.operations.policies import policy_in_force
    from forecast_assets.presentation.policies import uses_text

    click.echo(uses_text(policy_in_force(opened().ledger)))


@uses.command(
    epilog=examples('forecast-assets uses approve store_visit --by ana --reason "asked for by the regional managers"')
)
@click.argument("use")
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
def approve(use: str, by: str, reason: str) -> None:
    """Approve a use of predictions in real time, as a policy of its own."""
    from forecast_assets.operations.policies import approve_use
    from forecast_assets.presentation.policies import approved_use_text

    click.echo(approved_use_text(use, approve_use(opened().ledger, use, by=by, reason=reason)))


def _keys() -> "ApiKeys":
    from resources.operational.api_keys import ApiKeys

    return ApiKeys(current().operational_path)


COMMANDS: Final = (serve, warm, keys, uses)
