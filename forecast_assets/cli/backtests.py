"""The command that backtests a model version at past cutoffs: backtest, whose older name is evaluate.

What belongs here: its arguments. What does not: logic.
"""

from copy import copy
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from forecast_assets.cli.common import DAY, PAGE, examples, page_option, with_runner
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import CADENCES

if TYPE_CHECKING:
    from forecast_assets.backtesting.backtest import BacktestOutcome
    from forecast_assets.launch import Runner


class _Days(click.ParamType[list[date], Any]):
    name = "dates"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[date]:
        if isinstance(value, list):
            return value
        return [DAY.convert(part.strip(), param, ctx) for part in value.split(",") if part.strip()]


@click.command(
    epilog=examples(
        "forecast-assets backtest --version stat-1 --cutoffs 2025-05-19,2025-06-02",
        "forecast-assets backtest --version stat-1 --last 4 --every 7",
        "forecast-assets backtest --version stat-2 --last 2 --against stat-1 --out report.html",
        "forecast-assets backtest --version stat-weekly-1 --cadence weekly --cutoffs 2025-03-30",
    )
)
@click.option("--version", required=True, help="Model version to judge; never implied.")
@click.option("--cutoffs", type=_Days(), help="Past cutoffs, the last days known: 2025-05-19,2025-06-02.")
@click.option(
    "--last", type=click.IntRange(1, 60), help="Instead of --cutoffs: the newest so many whose days ahead all came."
)
@click.option("--every", type=click.IntRange(1, 366), default=7, show_default=True, help="Days between those.")
@click.option("--horizon", type=click.IntRange(1, 90), help="Days ahead; default: as far as cadence and version look.")
@click.option("--cadence", default="daily", show_default=True, type=click.Choice([*CADENCES]), help="Rhythm of runs.")
@click.option("--against", multiple=True, metavar="VERSION", help="A further version to compare with; may be repeated.")
@page_option("FILE.html; must be new. Default: below reports/ of the home.")
def backtest(
    version: str,
    cutoffs: list[date] | None,
    last: int | None,
    every: int,
    horizon: int | None,
    cadence: str,
    against: tuple[str, ...],
    out: Path | None,
) -> None:
    """Backtest a model version at past cutoffs, each as of what was known then, and write a page with pictures.

    Beside it: seasonal naive, the champion, a statistical version trained as of each cutoff, and what --against names.
    A version that was trained after a cutoff is trained anew as of the cutoff by the same recipe, and the report says
    so. Nothing is published but the report. Interrupt it at any time: asked again, it goes on from what was finished.

    Tables show percentages of sales where they say so; the page ends with what each metric is. The command may still be
    called by its older name, evaluate.
    """
    if (cutoffs is None) == (last is None):
        raise InputError("Either --cutoffs or --last is needed.", remedy="For example: --last 4 --every 7.")

    def work(runner: "Runner") -> None:
        from forecast_assets.backtesting.backtest import BacktestRequest, last_cutoffs

        days = cutoffs
        if days is None:
            days = last_cutoffs(runner.stores, version, cadence, horizon, last or 1, every)
        _show(runner, runner.backtest(BacktestRequest(version, days, cadence, horizon, against)), out)

    with_runner(work)


def _show(runner: "Runner", outcome: "BacktestOutcome", out: Path | None) -> None:
    """Write the page, tell Dagster, and say what was found."""
    from forecast_assets.backtesting.backtest import report_page_path
    from forecast_assets.operations.new_files import new_file, whole_file
    from forecast_assets.presentation.backtests import backtest_text
    from forecast_assets.presentation.report_page import report_metadata, report_page, report_pictures
    from resources.store.blobs import translated

    pictures = report_pictures(outcome)
    page = out or report_page_path(runner.settings, outcome.record)
    if out is None:
        with translated(page):
            page.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(page) if out is None else new_file(page, PAGE) as scratch:
        scratch.write_text(report_page(outcome, pictures), encoding="utf-8")
    notes = runner.show_backtest(outcome, report_metadata(outcome, pictures))
    click.echo("\n".join((backtest_text(outcome, str(page)), *notes)))


def _older_name(command: click.Command, name: str) -> click.Command:
    """Return the same command under a name that the list of commands does not show."""
    alias = copy(command)
    alias.name, alias.hidden = name, True
    return alias


COMMANDS: Final = (backtest, _older_name(backtest, "evaluate"))
