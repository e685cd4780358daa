"""Commands on model versions: train, gates, promote, rollback, retire, versions.

What belongs here: their arguments. What does not: logic.
"""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import (
    DAY,
    FAMILY,
    as_of_option,
    examples,
    opened,
    opened_registry,
    page_option,
    with_runner,
    write_page,
)
from forecast_assets.cli.mirror import follow_mirror
from forecast_assets.core.keys import CADENCES, CHANNELS

if TYPE_CHECKING:
    from forecast_assets.launch import Runner


@click.command(
    epilog=examples(
        "forecast-assets train --family statistical --version stat-1 --cutoff 2025-06-30",
        "forecast-assets train --family global --version global-1 --cutoff 2025-06-30    # trees that all series share",
        "forecast-assets train --family combined --version both-1 --cutoff 2025-06-30    # the mean of the two",
    ),
)
@click.option("--family", required=True, type=FAMILY, help="Model family.")
@click.option("--version", required=True, help="Name of the new version, for example stat-1.")
@click.option("--cutoff", required=True, type=DAY, help="Last day that training may see.")
@click.option(
    "--horizon",
    type=click.IntRange(7, 90),
    help="Days ahead that the version is for; default 28. On a short history backtests look less far, and what lies "
    "beyond is widened.",
)
def train(family: str, version: str, cutoff: date, horizon: int | None) -> None:
    """Fit a model version, evaluate it on days it has not seen, and register it."""
    from forecast_assets.presentation.state import version_text

    def work(runner: "Runner") -> None:
        runner.train(family=family, version=version, cutoff=cutoff, horizon=horizon)
        click.echo(version_text(runner.stores, version))

    with_runner(work)
    follow_mirror()


@click.command(
    epilog=examples(
        'forecast-assets promote stat-1 --by ana --reason "beats seasonal naive by 12%"',
        'forecast-assets promote stat-weekly-1 --channel weekly-champion --by ana --reason "first weekly version"',
        'forecast-assets promote both-2 --override bias_is_small --by ana --reason "more on purpose, for the season"',
        'forecast-assets promote stat-2 --on-evidence --by ana --reason "five weeks beside stat-1"',
    )
)
@click.argument("version")
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
@click.option(
    "--channel", default="champion", show_default=True, type=click.Choice(CHANNELS), help="Of daily or weekly runs."
)
@click.option(
    "--override",
    "overrides",
    multiple=True,
    metavar="GATE",
    help="A gate of merit that it fails and that is not to count, where the policy allows it; may be given more than "
    "once. It is marked in everything that follows.",
)
@click.option(
    "--on-evidence",
    is_flag=True,
    help="Only if the newest verdict of its trial says that it is better than the champion.",
)
def promote(version: str, by: str, reason: str, channel: str, overrides: tuple[str, ...], *, on_evidence: bool) -> None:
    """Point a channel at a version that meets the gates of the policy; schedules follow it from now on.

    It is judged first, as things are now. The champion before it goes on being scored for 28 days, so that there is
    something to roll back to.
    """
    from forecast_assets.presentation.channels import moved_text, unchanged_channel_text

    stores = opened()
    if on_evidence:
        from forecast_assets.operations.challengers import promote_on_evidence

        done = promote_on_evidence(stores, version, by=by, reason=reason, channel=channel, overrides=overrides)
    else:
        from forecast_assets.operations.promoting import promote as promote_version

        done = promote_version(stores, version, by=by, reason=reason, channel=channel, overrides=overrides)
    state = stores.ledger.state()
    click.echo(moved_text(state, channel, done.sequence) if done.is_new else unchanged_channel_text(state, channel))
    follow_mirror(only_if_there=True)


@click.command(
    epilog=examples(
        "forecast-assets gates stat-1",
        "forecast-assets gates stat-1 --out gates.html    # the same with a picture",
        "forecast-assets gates stat-weekly-1 --cadence weekly",
        "forecast-assets gates stat-1 --as-of 2025-07-01    # as it was judged then",
    )
)
@click.argument("version")
@click.option(
    "--cadence", default="daily", show_default=True, type=click.Choice([*CADENCES]), help="Whose channels it is for."
)
@page_option("FILE.html for a page with a picture; must be new.")
@as_of_option
def gates(version: str, cadence: str, out: Path | None, as_of: int | datetime | None) -> None:
    """Judge a version by the policy in force: at each gate its figure, the bound and the verdict.

    What is judged anew is recorded in the ledger, and shown by the view audit.promotion_gates; with unchanged figures
    nothing is. Nothing is promoted.
    """
    from forecast_assets.operations.promoting import judge, newest_judgement
    from forecast_assets.presentation.promotion_gates import judgement_page, judgement_text

    stores = opened(as_of)
    found = judge(stores, version, cadence) if as_of is None else newest_judgement(stores, version, cadence)
    click.echo(judgement_text(found.record, found.rows))
    write_page(out, lambda: judgement_page(found.record, found.rows))


@click.command(
    epilog=examples(
        'forecast-assets rollback --by ana --reason "sells 20% too much since Monday"',
        'forecast-assets rollback --to stat-1 --by ana --reason "the last version known to be good"',
        'forecast-assets rollback --channel weekly-champion --by ana --reason "the season is off"',
    )
)
@click.option(
    "--channel", default="champion", show_default=True, type=click.Choice(CHANNELS), help="Of daily or weekly runs."
)
@click.option("--to", metavar="VERSION", help="Any version that it pointed at; default: the one before the present.")
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
def rollback(channel: str, to: str | None, by: str, reason: str) -> None:
    """Point a channel back at an earlier version, at once: nothing is computed, and what is published stays.

    Repeated, it goes back further, not to and fro; with --to it can be repeated without harm, as scripts do.
    """
    # The stores of products stay closed, since opening them takes libraries.
    from forecast_assets.presentation.channels import moved_text, unchanged_channel_text

    registry = opened_registry()
    current_move = registry.current_move(channel)
    if current_move is not None and current_move.model_version == to:
        click.echo(unchanged_channel_text(registry.ledger.state(), channel))
        return
    entry = registry.rollback(by=by, reason=reason, channel=channel, to=to)
    click.echo(moved_text(registry.ledger.state(), channel, entry.sequence))
    # Said and done: who goes back in a hurry need not wait for this.
    follow_mirror(only_if_there=True)


@click.command(
    epilog=examples(
        'forecast-assets retire stat-1 --by ana --reason "two versions behind"',
        'forecast-assets retire stat-1 --undo --by ana --reason "needed for the comparison"',
    )
)
@click.argument("version")
@click.option("--undo", is_flag=True, help="It serves again.")
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
def retire(version: str, undo: bool, by: str, reason: str) -> None:
    """Take a version out of service: no channel may point at it, and no new run of it is made.

    What it published stays readable, and can be corrected and replayed.
    """
    from forecast_assets.presentation.channels import retired_text

    registry = opened_registry()
    entry = registry.retire(version, by=by, reason=reason, serves_again=undo)
    click.echo(retired_text(version, entry.sequence, serves_again=undo))
    follow_mirror(only_if_there=True)


@click.command(
    epilog=examples(
        "forecast-assets versions", "forecast-assets versions stat-1", "forecast-assets versions --as-of 2025-07-01"
    )
)
@click.argument("version", required=False)
@as_of_option
def versions(version: str | None, as_of: int | datetime | None) -> None:
    """List model versions and channels, or show one version with its evaluation report."""
    from forecast_assets.presentation.state import version_text, versions_text

    stores = opened(as_of)
    if version:
        click.echo(version_text(stores, version))
        return
    if isinstance(as_of, int):
        # Who was live then, not who would be by now.
        as_of = datetime.fromisoformat(stores.ledger.state().recorded_at)
    click.echo(versions_text(stores, as_of))


COMMANDS: Final = (train, gates, promote, rollback, retire, versions)
