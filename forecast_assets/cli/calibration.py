"""The command that shows how often what a version gives a probability came: calibration.

What belongs here: its arguments. What does not: logic.
"""

from datetime import datetime
from pathlib import Path
from typing import Final

import click

from forecast_assets.cli.common import as_of_option, examples, opened

_PAGE: Final = (".html",)


@click.command(
    epilog=examples(
        "forecast-assets calibration stat-1",
        "forecast-assets calibration stat-1 --out calibration.html    # the same with pictures",
    )
)
@click.argument("version")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="FILE.html for a page with pictures; must be new."
)
@as_of_option
def calibration(version: str, out: Path | None, as_of: int | datetime | None) -> None:
    """Show how often what a version's quantiles and stock-out risks say came, on days that it had not seen.

    By level, by sums of days, by segment of series and by days ahead, as measured when the version was trained. All
    figures: the view audit.calibration.
    """
    from forecast_assets.operations.calibration_reports import calibration_report
    from forecast_assets.operations.new_files import new_file, require_new
    from forecast_assets.presentation.calibration import calibration_page, calibration_text

    if out is not None:
        require_new(out, _PAGE)
    report = calibration_report(opened(as_of), version)
    click.echo(calibration_text(report))
    if out is not None:
        with new_file(out, _PAGE) as scratch:
            scratch.write_text(calibration_page(report), encoding="utf-8")
        click.echo(f"\nWritten to {out}.")


COMMANDS: Final = (calibration,)
