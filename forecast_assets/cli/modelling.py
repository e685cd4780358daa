"""Commands on model versions: train, promote, versions.

What belongs here: their arguments. What does not: logic.
"""

from datetime import date
from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import DAY, examples, opened, with_runner
from forecast_assets.errors import InputError
from forecast_assets.keys import CHANNELS

if TYPE_CHECKING:
    from forecast_assets.operations.runner import Runner


@click.command(
    epilog=examples("forecast-assets train --family statistical --version stat-1 --cutoff 2025-06-30"),
)
@click.option("--family", required=True, type=click.Choice(["statistical"]), help="Model family.")
@click.option("--version", required=True, help="Name of the new version, for example stat-1.")
@click.option("--cutoff", required=True, type=DAY, help="Last day that training may see.")
@click.option(
    "--horizon",
    type=click.IntRange(7, 90),
    help="Days that backtests look ahead; default 28, less on short histories.",
)
def train(family: str, version: str, cutoff: date, horizon: int | None) -> None:
    """Fit a model version, evaluate it on days it has not seen, and register it."""
    from forecast_assets.presentation.state import version_text

    def work(runner: "Runner") -> None:
        runner.train(family=family, version=version, cutoff=cutoff, horizon=horizon)
        click.echo(version_text(runner.stores, version))

    with_runner(work)


@click.command(
    epilog=examples(
        'forecast-assets promote stat-1 --by ana --reason "beats seasonal naive by 12%"',
        'forecast-assets promote stat-weekly-1 --channel weekly-champion --by ana --reason "first weekly version"',
    )
)
@click.argument("version")
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
@click.option(
    "--channel", default="champion", show_default=True, type=click.Choice(CHANNELS), help="Of daily or weekly runs."
)
def promote(version: str, by: str, reason: str, channel: str) -> None:
    """Point a channel at a version; schedules follow it from now on."""
    if not by.strip() or not reason.strip():
        raise InputError("A promotion needs who and why.", remedy="Give --by and --reason some text.")
    entry = opened().predictions.promote(version, by=by, reason=reason, channel=channel)
    click.echo(f"{channel} is now {version} (ledger entry {entry.sequence}, by {by}: {reason})")


@click.command(epilog=examples("forecast-assets versions", "forecast-assets versions stat-1"))
@click.argument("version", required=False)
def versions(version: str | None) -> None:
    """List model versions and channels, or show one version with its evaluation report."""
    from forecast_assets.presentation.state import version_text, versions_text

    click.echo(version_text(opened(), version) if version else versions_text(opened()))


COMMANDS: Final = (train, promote, versions)
