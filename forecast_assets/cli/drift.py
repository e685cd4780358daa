"""Commands on drift: judge a day, the quality backlog, training anew.

What belongs here: their arguments. What does not: logic.
"""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import (
    DAY,
    current,
    examples,
    opened,
    opened_registry,
    page_option,
    with_runner,
    write_page,
)
from forecast_assets.cli.mirror import follow_mirror

if TYPE_CHECKING:
    from forecast_assets.launch import Runner


@click.command(
    epilog=examples(
        "forecast-assets drift",
        "forecast-assets drift --date 2025-06-30 --out drift.html    # the same with pictures",
    )
)
@click.option("--date", "day", type=DAY, help="Day to judge; the newest that is over by default.")
@click.option("--all", "shows_all", is_flag=True, help="Show every figure, not only what is told.")
@page_option("FILE.html for a page with pictures; must be new.")
def drift(day: date | None, shows_all: bool, out: Path | None) -> None:
    """Judge a day: what moved in feeds, in features since training, and in the errors of published forecasts.

    Weekday, events and season are allowed for. What is told for the first time opens an item of the backlog. A day that
    was judged with the same numbers is not recorded again. All figures: the view audit.drift_reports.
    """
    from forecast_assets.operations.drift_reports import drift_report, figures_over_days
    from forecast_assets.presentation.drift import drift_page, drift_text

    def work(runner: "Runner") -> None:
        report = drift_report(runner.stores, runner.drift(day))
        click.echo(drift_text(report, shows_all=shows_all))
        write_page(out, lambda: drift_page(report, figures_over_days(runner.stores, report)))

    with_runner(work)


@click.group()
def backlog() -> None:
    """What was found, who looks at it, and who closed it. All steps: the view audit.backlog."""


@backlog.command("list", epilog=examples("forecast-assets backlog list", "forecast-assets backlog list --all"))
@click.option("--all", "has_closed", is_flag=True, help="Closed items too.")
def list_items(has_closed: bool) -> None:
    """List the items, newest first; and what callers found that is no item yet."""
    from forecast_assets.operations.drift_reports import backlog_items
    from forecast_assets.operations.feedback import open_findings
    from forecast_assets.presentation.drift import backlog_text
    from forecast_assets.presentation.feedback import findings_text
    from resources.operational.feedback import FeedbackStore

    click.echo(backlog_text(backlog_items(opened(), has_closed=has_closed)))
    waiting = open_findings(FeedbackStore(current().operational_path))
    if waiting:
        click.echo(f"\n{findings_text(waiting)}")


@backlog.command(
    epilog=examples('forecast-assets backlog acknowledge 1 --by ana --reason "asked the price team"'),
)
@click.argument("item", type=click.IntRange(1))
@click.option("--by", required=True, help="Who looks at it.")
@click.option("--reason", required=True, help="What is done about it.")
def acknowledge(item: int, by: str, reason: str) -> None:
    """Say that somebody looks at an item."""
    _decide(item, "acknowledged", by, reason)


@backlog.command(epilog=examples('forecast-assets backlog close 1 --by ana --reason "prices rose for good"'))
@click.argument("item", type=click.IntRange(1))
@click.option("--by", required=True, help="Who is done with it.")
@click.option("--reason", required=True, help="What it was.")
def close(item: int, by: str, reason: str) -> None:
    """Say that an item is done with; a signal that comes again later makes a new one."""
    _decide(item, "closed", by, reason)


def _decide(item: int, status: str, by: str, reason: str) -> None:
    from forecast_assets.operations.drift_reports import decide

    entry = decide(opened_registry(), item, status, by=by, reason=reason)
    click.echo(f"Item {item} is {status} (ledger entry {entry.sequence}).")


@click.command(epilog=examples("forecast-assets retrain"))
def retrain() -> None:
    """Train the version that drift or time asks for, and make it challenger if its gates pass.

    As schedule and sensors do. It is called auto-FAMILY-DATE, after the champion's family and its own last day;
    the setting retraining_weeks says how often without drift. The champion stays: promote moves it.
    """
    from forecast_assets.presentation.drift import retraining_text

    with_runner(lambda runner: click.echo(retraining_text(runner.retrain())))
    follow_mirror()


COMMANDS: Final = (drift, backlog, retrain)
