"""The command that shows how often what a version gives a probability came: calibration.

What belongs here: its arguments. What does not: logic.
"""

from datetime import datetime
from pathlib import Path
from typing import Final

import click

from forecast_assets.cli.common import as_of_option, examples, opened, page_option, write_page


@click.command(
    epilog=examples(
        "forecast-assets calibration stat-1",
        "forecast-assets calibration stat-1 --out calibration.html    # the same with pictures",
    )
)
@click.argument("version")
@page_option("FILE.html for a page with pictures; must be new.")
@as_of_option
def calibration(version: str, out: Path | None, as_of: int | datetime | None) -> None:
    """Show how often what a version's quantiles and stock-out risks say came, on days that it had not seen.

    By level, by sums of days, by segment of series and by days ahead, as measured when the version was trained. All
    figures: the view audit.calibration.
    """
    from forecast_assets.operations.calibration_reports import calibration_report
    from forecast_assets.presentation.calibration import calibration_page, calibration_text

    report = calibration_report(opened(as_of), version)
    click.echo(calibration_text(report))
    write_page(out, lambda: calibration_page(report))


COMMANDS: Final = (calibration,)
