"""The command that measures past forecasts against the sales that came.

What belongs here: its arguments. What does not: logic.
"""

from datetime import date
from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import DAY, examples, with_runner
from forecast_assets.core.keys import CADENCES, require_version_name

if TYPE_CHECKING:
    from forecast_assets.launch import Runner


@click.command(
    epilog=examples(
        "forecast-assets accuracy",
        "forecast-assets accuracy --model-version stat-1 --by step",
        "forecast-assets accuracy --cadence weekly --from 2025-06-01 --to 2025-06-30 --by segment",
    )
)
@click.option("--cadence", default="daily", show_default=True, type=click.Choice([*CADENCES]), help="Rhythm of runs.")
@click.option("--model-version", help="Show only this version; all of them, each by itself, by default.")
@click.option("--from", "first", type=DAY, help="First target date; the first that any run looks at by default.")
@click.option("--to", "last", type=DAY, help="Last target date; the last that has sales by default.")
@click.option(
    "--by", type=click.Choice(["step", "segment", "level", "day"]), help="Split: days ahead, segment, level or day."
)
def accuracy(cadence: str, model_version: str | None, first: date | None, last: date | None, by: str | None) -> None:
    """Measure published forecasts of days whose sales have come, and show how they did.

    Days that were measured with the same runs and sales before are not measured again. Each day is recorded by itself,
    so that an interrupted call is taken up where it stopped.

    """
    from forecast_assets.presentation.accuracy import AccuracyQuery, accuracy_text, require_answerable

    query = AccuracyQuery(cadence, model_version and require_version_name(model_version), first, last, by)

    def work(runner: "Runner") -> None:
        require_answerable(runner.stores, query)
        measured = runner.measure(cadence, first, last)
        click.echo(accuracy_text(runner.settings.catalogue_path, query, measured))

    with_runner(work)


COMMANDS: Final = (accuracy,)
