"""Commands that bring in what sources say.

What belongs here: their arguments. What does not: logic.
"""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from forecast_assets.cli import batches
from forecast_assets.cli.common import DAY, examples, with_runner
from forecast_assets.cli.mirror import follow_mirror
from forecast_assets.core.errors import ContractError, InputError
from forecast_assets.core.keys import CADENCES

if TYPE_CHECKING:
    from forecast_assets.ingestion.findings import FeedFinding
    from forecast_assets.launch import Runner


@click.group()
def ingest() -> None:
    """Bring in what a source says, as append-only batches; checked before anything is stored."""


@ingest.command("simulated", epilog=examples("forecast-assets ingest simulated data/retailer"))
@click.argument("folder", type=click.Path(path_type=Path))
def ingest_simulated(folder: Path) -> None:
    """Ingest a folder that `simulate` wrote."""
    from forecast_assets.sources.simulated import read_simulated

    _ingest(lambda: read_simulated(folder))


_weather = click.option("--weather", is_flag=True, help="Read the observed weather too, as covariates of the past.")


@ingest.command("freshretailnet", epilog=examples("forecast-assets ingest freshretailnet data/freshretailnet"))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--sample", is_flag=True, help="Read the sample of 890 series instead of all 50,000.")
@_weather
def ingest_freshretailnet(folder: Path, sample: bool, weather: bool) -> None:
    """Ingest FreshRetailNet-50K from daily.parquet and plan.parquet."""
    from forecast_assets.sources.freshretailnet import read_freshretailnet

    _ingest(lambda: read_freshretailnet(folder, sample=sample, weather=weather))


@ingest.command("m5", epilog=examples("forecast-assets ingest m5 data/m5"))
@click.argument("folder", type=click.Path(path_type=Path))
def ingest_m5(folder: Path) -> None:
    """Ingest the M5 files: sales_train_evaluation.csv (or _validation), calendar.csv and sell_prices.csv.

    A folder with more days than before adds the new days only.
    """
    from forecast_assets.sources.m5 import read_m5

    _ingest(lambda: read_m5(folder))


@ingest.command(
    "table",
    epilog=examples(
        "forecast-assets ingest table --guess sales_*.csv articles.csv > mapping.toml",
        "forecast-assets ingest table --example > mapping.toml",
        "forecast-assets ingest check table --mapping mapping.toml",
        "forecast-assets ingest table --mapping mapping.toml",
    ),
)
@click.option("--mapping", type=click.Path(path_type=Path), help="TOML file that says which column is which.")
@click.option("--example", is_flag=True, help="Print a mapping to start from, and do nothing else.")
@click.option("--guess", is_flag=True, help="Print a mapping that is guessed from FILES, and do nothing else.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def ingest_table(mapping: Path | None, example: bool, guess: bool, files: tuple[Path, ...]) -> None:
    """Ingest your own tables: CSV, Parquet or DuckDB, as a mapping describes them.

    Rows that are there already are left alone, so that the same command takes in the next day. With --guess, FILES are
    what a mapping is guessed from, with its doubts as comments: read it before you use it.
    """
    from forecast_assets.presentation.actions import sentence_text
    from forecast_assets.sources.table_mapping import EXAMPLE
    from forecast_assets.sources.tables import read_tables

    if bool(files) != guess:
        raise click.UsageError("Give --guess with the files to guess from, or neither.")
    if example:
        click.echo(sentence_text(EXAMPLE), nl=False)
        return
    if guess:
        from forecast_assets.sources.guessing import guess_mapping

        click.echo(sentence_text(guess_mapping(files)), nl=False)
        return
    path = _required(mapping)
    with_runner(lambda runner: _ingested(runner, read_tables(path, runner.stored_rows())))


@ingest.command(
    "holidays",
    epilog=examples(
        "forecast-assets ingest holidays --country US --from 2011-01-01 --to 2016-12-31",
        "forecast-assets ingest holidays --country US --subdivision CA --store-node CA \\",
        "    --from 2011-01-01 --to 2016-12-31",
    ),
)
@click.option("--country", required=True, help="Two-letter code of ISO 3166, for example US.")
@click.option("--subdivision", help="State, province or canton, for example CA.")
@click.option("--store-node", help="Store, or node of a store level, that they are limited to; default: all stores.")
@click.option("--from", "since", required=True, type=DAY, help="First day.")
@click.option("--to", "until", required=True, type=DAY, help="Last day.")
def ingest_holidays(country: str, subdivision: str | None, store_node: str | None, since: date, until: date) -> None:
    """Ingest the public holidays of a country as events that are known a year ahead."""
    from forecast_assets.contracts import ALL_STORES
    from forecast_assets.sources.country_holidays import read_country_holidays

    node = store_node or ALL_STORES
    _ingest(lambda: [read_country_holidays(country, since, until, subdivision=subdivision, store_node=node)])


@ingest.group("check")
def check() -> None:
    """Say everything that is wrong with a source, at once; nothing is stored.

    Exit code 2 if the source could not be ingested as it is.
    """


@check.command("table", epilog=examples("forecast-assets ingest check table --mapping mapping.toml"))
@click.option("--mapping", required=True, type=click.Path(path_type=Path), help="TOML file, as for `ingest table`.")
def check_table(mapping: Path) -> None:
    """Check your own tables."""
    from forecast_assets.sources.tables import read_tables

    with_runner(lambda runner: _inspected(runner, read_tables(mapping, runner.stored_rows())))


@check.command("simulated", epilog=examples("forecast-assets ingest check simulated data/retailer"))
@click.argument("folder", type=click.Path(path_type=Path))
def check_simulated(folder: Path) -> None:
    """Check a folder that `simulate` wrote."""
    from forecast_assets.sources.simulated import read_simulated

    with_runner(lambda runner: _inspected(runner, read_simulated(folder)))


@check.command("freshretailnet", epilog=examples("forecast-assets ingest check freshretailnet data/freshretailnet"))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--sample", is_flag=True, help="Read the sample of 890 series instead of all 50,000.")
@_weather
def check_freshretailnet(folder: Path, sample: bool, weather: bool) -> None:
    """Check FreshRetailNet-50K."""
    from forecast_assets.sources.freshretailnet import read_freshretailnet

    with_runner(lambda runner: _inspected(runner, read_freshretailnet(folder, sample=sample, weather=weather)))


@check.command("m5", epilog=examples("forecast-assets ingest check m5 data/m5"))
@click.argument("folder", type=click.Path(path_type=Path))
def check_m5(folder: Path) -> None:
    """Check the M5 files."""
    from forecast_assets.sources.m5 import read_m5

    with_runner(lambda runner: _inspected(runner, read_m5(folder)))


def _required(mapping: Path | None) -> Path:
    if mapping is None:
        raise click.UsageError("Give --mapping FILE, or --guess FILES or --example for one to start from.")
    return mapping


def _ingest(read: Callable[[], Any]) -> None:
    with_runner(lambda runner: _ingested(runner, read()))


def _ingested(runner: "Runner", batches: Any) -> None:
    """Ingest, and say what was done; what stops it is listed whole before the error ends the command."""
    from forecast_assets.presentation.state import findings_text, ingest_text

    try:
        click.echo(ingest_text(runner.ingest(batches)))
    except ContractError as error:
        if not error.findings:
            raise
        click.echo(findings_text(error.findings))
        raise _refusal(error.findings, "Nothing was stored") from error


def _inspected(runner: "Runner", batches: Any) -> None:
    from forecast_assets.presentation.state import findings_text

    findings = runner.inspect(batches)
    click.echo(findings_text(findings))
    if any(finding.is_error for finding in findings):
        raise _refusal(findings, "An ingest would refuse this")
    click.echo("Nothing was stored: this only looked.")


def _refusal(findings: Sequence["FeedFinding"], what: str) -> InputError:
    errors = sum(finding.is_error for finding in findings)
    return InputError(
        f"{what}: {errors} of {len(findings)} findings are errors.",
        remedy="Correct them at the source or in the mapping, as each says.",
    )


@ingest.command(
    "forecasts",
    epilog=examples(
        "forecast-assets ingest forecasts planners.csv --model-version planners-1 --date 2025-06-30",
        'forecast-assets ingest forecasts out.parquet --model-version vendor-2 --columns "qty=forecast_units"',
        'forecast-assets ingest forecasts plan.csv --model-version planners-1 --date-format "%d/%m/%Y" --decimal-comma',
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--model-version", required=True, help="Version that they are, or become, part of.")
@click.option(
    "--cadence", default="daily", show_default=True, type=click.Choice([*CADENCES]), help="Rhythm of the runs."
)
@click.option("--horizon", type=int, help="Days ahead to publish; default: as far as the file looks.")
@click.option("--date", "day", type=DAY, help="Prediction date, for a file without the column prediction_date.")
@click.option("--columns", default="", help='Which column is which: "theirs=ours,theirs=ours".')
@click.option(
    "--missing",
    default="refuse",
    show_default=True,
    type=click.Choice(["refuse", "zero"]),
    help="What to do with series that the file lacks.",
)
@click.option("--separator", help="Between the fields of a CSV, for example `;` or tab; default: found out.")
@click.option(
    "--decimal-comma/--no-decimal-comma",
    default=None,
    help="Whether numbers are written as 1.234,5 or as 1,234.5; default: found out.",
)
@click.option("--date-format", help="Of days, for example %d/%m/%Y; default: found out.")
@click.option("--encoding", help="Of a CSV, for example cp1252; default: found out.")
def ingest_forecasts(
    file: Path,
    model_version: str,
    cadence: str,
    horizon: int | None,
    day: date | None,
    columns: str,
    missing: str,
    separator: str | None,
    decimal_comma: bool | None,
    date_format: str | None,
    encoding: str | None,
) -> None:
    """Publish external forecasts as a version of their own: FILE.parquet or FILE.csv.

    Columns: store_id, sku_id, target_date or step, forecast_units, any quantiles such as q100_units and q900_units, and
    prediction_date unless --date is given. Everything that is wrong is said at once, and then nothing is published.
    Each prediction date becomes a run of its own; the same command again goes on where it stopped. How a CSV is written
    (encoding, separator, decimals, days) is found out from the file and said; what can be read in two ways is refused.
    """
    from forecast_assets.operations.external_forecasts import (
        ExternalForecastsRequest,
        plan_external_forecasts,
        publish_external_forecasts,
    )
    from forecast_assets.presentation.external_forecasts import external_outcome_text, external_plan_text
    from forecast_assets.presentation.state import version_text
    from forecast_assets.sources.casting import Notation
    from forecast_assets.sources.external_forecasts import parse_columns
    from forecast_assets.sources.text_files import TextForm

    rhythm = CADENCES[cadence]
    request = ExternalForecastsRequest(
        file,
        model_version,
        rhythm,
        horizon,
        day,
        parse_columns(columns),
        fill_missing=missing == "zero",
        form=TextForm.asked(encoding, separator),
        notation=Notation(date_format=date_format, decimal_comma=decimal_comma),
    )

    def work(runner: "Runner") -> None:
        plan = plan_external_forecasts(runner, request)
        click.echo(external_plan_text(plan))
        for outcome, coherence in publish_external_forecasts(runner, plan):
            click.echo(external_outcome_text(outcome, coherence))
        if plan.is_new:
            click.echo(f"\n{version_text(runner.stores, model_version)}")

    with_runner(work)
    follow_mirror(only_if_there=True)


for _command in batches.COMMANDS:
    ingest.add_command(_command)

COMMANDS: Final = (ingest,)
