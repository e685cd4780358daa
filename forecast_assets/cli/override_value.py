"""The command that says what overrides were worth; it belongs to the group `overrides`.

What belongs here: its arguments. What does not: logic.
"""

from pathlib import Path

import click

from forecast_assets.cli.common import examples, opened, page_option, write_page
from forecast_assets.core.keys import CADENCES


@click.command(
    epilog=examples(
        "forecast-assets overrides value",
        "forecast-assets overrides value --by direction --days 28",
        "forecast-assets overrides value --planner ana --out ana.html    # with advice, as a page with a picture",
    )
)
@click.option("--planner", default="", help="Only overrides of this planner, with what the record advises.")
@click.option(
    "--by",
    default="planner",
    show_default=True,
    type=click.Choice(["planner", "reason", "direction", "size"]),
    help="One line each.",
)
@click.option(
    "--days",
    default=91,
    show_default=True,
    type=click.IntRange(min=1),
    help="Days back from the newest measured day with an overridden forecast.",
)
@click.option(
    "--cadence", default="daily", show_default=True, type=click.Choice([*CADENCES]), help="Rhythm of the runs."
)
@page_option("FILE.html for a page with a picture; must be new.")
def value(planner: str, by: str, days: int, cadence: str, out: Path | None) -> None:
    """Show what overrides were worth: errors of every stage of the same forecasts, as sales came.

    Of the newest measurements; `accuracy` measures what is due. Seasonal naive, the model before and after
    reconciliation, rules of the policy, and what was published, side by side. Rules have lines of their own.
    """
    from forecast_assets.operations.value_added import advice, value_added
    from forecast_assets.presentation.value_added import value_page, value_text

    stores = opened()
    found = value_added(stores, by=by, planner=planner, days=days, cadence=cadence)
    advised = advice(stores, planner, cadence=cadence) if planner else None
    click.echo(value_text(found, advised))
    write_page(out, lambda: value_page(found, advised))
