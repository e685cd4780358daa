"""Commands on champion and challenger: challenger set, show, stop, assign, and the evidence of a trial.

What belongs here: their arguments. What does not: logic.
"""

from datetime import date
from typing import TYPE_CHECKING, Any, Final

import click

from forecast_assets.cli.common import DAY, examples, opened, with_runner
from forecast_assets.cli.mirror import follow_mirror
from forecast_assets.core.keys import CADENCES, require_version_name

if TYPE_CHECKING:
    from forecast_assets.launch import Runner

# As in `resources.ledger.entries.challenge`, which --help does not wait for; a test holds the two together.
_LOSSES: Final = ("absolute_error", "pinball_loss")
_DECIDING_STEPS: Final = (1, 7)
_cadence = click.option(
    "--cadence", default="daily", show_default=True, type=click.Choice([*CADENCES]), help="Rhythm of runs."
)


@click.group()
def challenger() -> None:
    """A second version beside the champion: in which stores it is followed, and what is decided by.

    Schedules score both on every date. What a trial decides by is fixed when it begins.
    """


@challenger.command(
    "set",
    epilog=examples(
        'forecast-assets challenger set stat-2 --share 0.2 --by ana --reason "trees instead of one line per series"',
        'forecast-assets challenger set stat-2 --share 0.5 --by ana --reason "no complaints in three weeks"',
        'forecast-assets challenger set stat-2 --deciding-step 7 --by ana --reason "orders are placed a week ahead"',
    ),
)
@click.argument("version")
@_cadence
@click.option("--share", type=float, help="Share of stores that follow it, 0 to 1; default 0, or what it is now.")
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
@click.option("--from", "first_day", type=DAY, help="First target date of the evidence; default: the first unseen one.")
@click.option("--salt", help="What stores are hashed with; default: cadence and version, as daily/stat-2.")
@click.option("--horizon", "forecast_horizon", type=int, help="Horizon of the runs compared; default: the cadence's.")
@click.option("--loss", type=click.Choice(_LOSSES), help="What is summed by target date; default absolute_error.")
@click.option("--bound", type=float, help="Relative difference of a day that counts as the most; default 0.1.")
@click.option("--level", type=float, help="Chance of a wrong decision, however often you look; default 0.05.")
@click.option(
    "--deciding-step", type=click.Choice(_DECIDING_STEPS), help="Days ahead on which it is decided; default 1."
)
@click.option("--least-days", type=int, help="Days before whose end nothing is decided; default 28.")
@click.option("--bias-margin", type=float, help="By how much its bias may lie further from 0; default 0.02 of sales.")
@click.option("--coverage-margin", type=float, help="By how much its 80% interval may miss more; default 0.03.")
@click.option("--segment-margin", type=float, help="How much worse an important segment may do; default 0.05.")
@click.option("--segment-share", type=float, help="Share of sales that makes a segment important; default 0.05.")
def set_version(
    version: str,
    cadence: str,
    share: float | None,
    by: str,
    reason: str,
    first_day: date | None,
    salt: str | None,
    **rules: Any,
) -> None:
    """Begin a trial of VERSION against the champion, or change in how many stores it is followed.

    Only the share changes while a trial runs, and moves as few stores as it can. A version that is set while another
    one's trial runs ends that trial. VERSION is judged by the policy in force first: it needs its gates of soundness,
    and to be followed in any store those of merit too.
    """
    from forecast_assets.operations.challengers import ChallengeRequest, set_challenger
    from forecast_assets.presentation.challengers import challenged_text

    given = {name: value for name, value in rules.items() if value is not None}
    asked = ChallengeRequest(cadence, require_version_name(version), share, by, reason, first_day, salt, given)

    def work(runner: "Runner") -> None:
        outcome = set_challenger(runner.stores, asked)
        click.echo(challenged_text(outcome, runner.assign(cadence)))

    with_runner(work)
    follow_mirror(only_if_there=True)


@challenger.command(epilog=examples("forecast-assets challenger show", "... challenger show --cadence weekly"))
@_cadence
def show(cadence: str) -> None:
    """Show the trial, its rules, its newest verdict, and which stores follow the challenger."""
    from forecast_assets.presentation.challengers import trial_text

    click.echo(trial_text(opened(), cadence))


@challenger.command(epilog=examples('forecast-assets challenger stop --by ana --reason "worse in fresh food"'))
@_cadence
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
def stop(cadence: str, by: str, reason: str) -> None:
    """End the trial: all stores follow the champion, and schedules no longer score the challenger.

    Verdicts and assignments of before stay readable.
    """
    from forecast_assets.operations.challengers import stop_challenger
    from forecast_assets.presentation.challengers import stopped_text

    def work(runner: "Runner") -> None:
        stopped = stop_challenger(runner.stores.registry, cadence, by=by, reason=reason)
        click.echo(stopped_text(stopped, runner.assign(cadence)))

    with_runner(work)
    follow_mirror(only_if_there=True)


@challenger.command(epilog=examples("forecast-assets challenger assign"))
@_cadence
def assign(cadence: str) -> None:
    """Record which version each store follows, on every date that is due; the sensors do the same.

    From the first trial on: every date that the champion has published, and the newest again after a rollback, another
    share, or a run of the challenger.
    """
    from forecast_assets.presentation.challengers import assigned_text

    def work(runner: "Runner") -> None:
        click.echo(assigned_text(cadence, runner.assign(cadence)))

    with_runner(work)


@click.command(epilog=examples("forecast-assets evidence", "forecast-assets evidence --cadence weekly"))
@_cadence
def evidence(cadence: str) -> None:
    """Measure the days of the trial whose sales have come, and say whether the challenger is better.

    You may look as often as you like: the chance of a wrong decision is that of the trial's level all the same. What
    was restated is weighed anew, and earlier verdicts stay.

    """
    from forecast_assets.presentation.challengers import evidence_text

    def work(runner: "Runner") -> None:
        judged = runner.judge(cadence)
        click.echo(evidence_text(runner.stores, cadence, judged))

    with_runner(work)


COMMANDS: Final = (challenger, evidence)
