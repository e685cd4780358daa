"""Commands for operators: doctor, alerts.

What belongs here: their arguments. What does not: logic.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import click

from forecast_assets.cli.common import current, examples
from forecast_assets.core.errors import StorageError


@click.command(epilog=examples("forecast-assets doctor", "forecast-assets doctor --json"))
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
@click.option(
    "--seconds", default=20.0, show_default=True, type=click.FloatRange(1, 600), help="How long any check may take."
)
def doctor(*, as_json: bool, seconds: float) -> None:
    """Look at everything that this home stands on, and say what to do about what is not as it should be.

    Home, ledger, stored bytes, mirrors, servers that are set, the service, libraries against the lock, disk, clock,
    catalogue, Dagster. Writes nothing. One check that fails or hangs ends no other. Ends with exit code 3 where there
    is a problem; warnings alone are 0.
    """
    from forecast_assets.alerts.evaluating import failing_destinations
    from forecast_assets.operations.health.look import HomeLook, examine
    from forecast_assets.operations.health.registry import EVERYTHING
    from forecast_assets.presentation.health import doctor_json, doctor_text, require_healthy
    from resources.orchestration.run_history import HomeHistory

    settings = current()
    failing = failing_destinations(settings)
    history = HomeHistory(settings.dagster_folder)
    look = HomeLook(settings, datetime.now(UTC), history, destinations=failing, is_read_only=True)
    health = examine(EVERYTHING, look, seconds=seconds)
    click.echo(doctor_json(health) if as_json else doctor_text(health))
    require_healthy(health)


@click.group(
    epilog=examples(
        "forecast-assets alerts list",
        "forecast-assets alerts acknowledge 3 --by ana --hours 8",
        "forecast-assets alerts check                            # as Dagster does every half minute",
        "FORECAST_ASSETS_ALERT_TO='[\"smtp://mail.example.com?to=ana@example.com\"]' forecast-assets alerts test",
    )
)
def alerts() -> None:
    """What is wrong now, who looks at it, and who is told.

    Each alert has a page in docs/runbooks: what it means, how to look, what to do, when it closes. It closes by itself
    once what it tells of is over. Who is told: FORECAST_ASSETS_ALERT_TO.
    """


@alerts.command("list", epilog=examples("forecast-assets alerts list", "forecast-assets alerts list --all --json"))
@click.option("--all", "has_closed", is_flag=True, help="Closed ones too, of the last 90 days.")
@click.option("--json", "as_json", is_flag=True, help="Print them for programs.")
def list_alerts(*, has_closed: bool, as_json: bool) -> None:
    """List alerts as the newest evaluation left them, newest first."""
    from forecast_assets.presentation.health import alerts_json, alerts_text
    from resources.operational.alerts import AlertStore

    found = AlertStore(current().operational_path).all(has_closed=has_closed)
    click.echo(alerts_json(found) if as_json else alerts_text(found))


@alerts.command(epilog=examples("forecast-assets alerts check"))
def check() -> None:
    """Look now, open and close alerts, and tell what changed.

    Dagster does the same every half minute while its daemon runs; where it does not, call this from cron. Two at once
    tell once.
    """
    from forecast_assets.alerts.evaluating import AlertEvaluator
    from forecast_assets.alerts.rendering import evaluation_text
    from resources.orchestration.run_history import HomeHistory

    settings = current()
    done = AlertEvaluator(settings).evaluate(HomeHistory(settings.dagster_folder))
    click.echo(evaluation_text(done))
    if done.trouble:
        raise StorageError(f"Alerts cannot be kept: {done.trouble}", remedy="Free space or mend rights, and repeat.")


@alerts.command(
    epilog=examples("forecast-assets alerts acknowledge 3 --by ana --hours 8 --reason 'asked the till team'")
)
@click.argument("alert", type=click.IntRange(1))
@click.option("--by", required=True, help="Who looks at it.")
@click.option(
    "--hours", default=24, show_default=True, type=click.IntRange(1, 24 * 30), help="For how long nothing more is told."
)
@click.option("--reason", default="", help="What is done about it.")
def acknowledge(alert: int, by: str, hours: int, reason: str) -> None:
    """Say that somebody looks at an alert: nothing more is told of it than its end, until the hours are over."""
    from resources.operational.alerts import AlertStore

    now = datetime.now(UTC)
    until = now + timedelta(hours=hours)
    done = AlertStore(current().operational_path).acknowledge(alert, by=by, until=until, reason=reason, now=now)
    click.echo(f"Alert {done.alert_id} ({done.code} {done.subject}) is {by}'s until {until:%Y-%m-%d %H:%M} UTC.")


@alerts.command(name="test", epilog=examples("forecast-assets alerts test"))
def try_out() -> None:
    """Send every destination an alert that says it is a test, and its end; nothing is recorded.

    Ends with exit code 6 if one of them does not take it.
    """
    from forecast_assets.alerts.evaluating import try_destinations
    from forecast_assets.alerts.rendering import delivered_text

    settings = current()
    found = try_destinations(settings, datetime.now(UTC))
    click.echo(delivered_text(found) or "Nobody is told: FORECAST_ASSETS_ALERT_TO is empty.")
    failed = [each.destination for each in found if each.trouble]
    if failed:
        raise StorageError(
            f"Not taken by: {', '.join(failed)}.", remedy="Correct its address in FORECAST_ASSETS_ALERT_TO, or mend it."
        )


COMMANDS: Final = (doctor, alerts)
