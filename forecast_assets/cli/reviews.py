"""Command of the weekly business review.

What belongs here: its arguments. What does not: logic.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import examples, page_option, with_runner, write_page
from forecast_assets.core.keys import CADENCES

if TYPE_CHECKING:
    from forecast_assets.launch import Runner


@click.command(
    epilog=examples(
        "forecast-assets review",
        "forecast-assets review --week 2025-W26 --out review.html    # the same as a page with a picture",
    )
)
@click.option("--week", help="ISO week, as 2025-W26; the newest that is over and was measured by default.")
@click.option(
    "--cadence", default="daily", show_default=True, type=click.Choice([*CADENCES]), help="Rhythm of the runs."
)
@page_option("FILE.html for a page; must be new.")
def review(week: str | None, cadence: str, out: Path | None) -> None:
    """Review a week: what shifted, champion and challenger, what is open, and what might be changed of the policy.

    Of published forecasts as they were measured, beside the four weeks before and the bounds of the policy. What is
    proposed is applied by nobody but you: the last line is the command. A week that was reviewed with the same numbers
    is not recorded again. All figures: the view audit.business_reviews.
    """
    from forecast_assets.operations.reviewing import business_review
    from forecast_assets.presentation.reviews import review_page, review_text

    def work(runner: "Runner") -> None:
        last_day = runner.review(cadence, week)
        found = business_review(runner.stores, cadence, last_day)
        click.echo(review_text(found))
        write_page(out, lambda: review_page(found))

    with_runner(work)


COMMANDS: Final = (review,)
