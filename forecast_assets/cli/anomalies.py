"""Commands on anomalies: of tables of features in files, and of the series of snapshots.

What belongs here: their arguments. What does not: logic.
"""

import csv
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import DAY, current, examples, opened, page_option, with_runner, write_page
from forecast_assets.cli.start_up import swift_imports

if TYPE_CHECKING:
    from forecast_assets.anomalies.tables import TextDialect
    from forecast_assets.core.errors import IncompleteInputsError
    from forecast_assets.launch import Runner

# As `anomalies.detectors` and `anomalies.features` have them; tests hold the two together, since importing takes time.
_DETECTORS: Final = ("isolation-forest", "lof", "one-class-svm", "autoencoder")
_ON_INVALID: Final = ("impute", "skip", "error")
_PATH: Final = click.Path(path_type=Path)


def _reads_csv(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--decimal-comma/--decimal-point",
            default=None,
            help="How numbers of a CSV are written; found out if left out.",
        ),
        click.option("--separator", help="Between fields of a CSV, or tab; found out if left out."),
        click.option("--encoding", help="Of a CSV, such as cp1252; found out if left out."),
    ):
        function = option(function)
    return function


def _dialect(encoding: str | None, separator: str | None, decimal_comma: bool | None) -> "TextDialect":
    from forecast_assets.anomalies.tables import TextDialect
    from forecast_assets.sources.text_files import TextForm

    return TextDialect(TextForm.asked(encoding, separator), decimal_comma)


def _names(text: str | None) -> tuple[str, ...]:
    """Return names parted by commas; one with a comma in it stands between quotes."""
    fields = next(csv.reader([text or ""], skipinitialspace=True), [])
    return tuple(name.strip() for name in fields if name.strip())


@click.group()
def anomalies() -> None:
    """Find anomalies: of the series of snapshots, and of tables of features in files, which `score` scores."""


@anomalies.command(
    epilog=examples(
        "forecast-assets anomalies train --detector isolation-forest --input windows.csv --all-numeric \\",
        "    --exclude unit --output bearings.skops",
        "forecast-assets anomalies train --detector lof --input windows.csv --features rms,kurtosis,crest \\",
        "    --label fault --unit machine --time at --output bearings.joblib",
    )
)
@click.option("--detector", required=True, type=click.Choice(_DETECTORS), help="Method.")
@click.option("--input", "data", required=True, type=_PATH, help="CSV or Parquet file to learn from.")
@click.option("--features", help="Columns to read, parted by commas; between quotes if there is one in a name.")
@click.option("--all-numeric", is_flag=True, help="Read all numeric columns.")
@click.option("--exclude", help="Columns that --all-numeric leaves out, parted by commas.")
@click.option(
    "--output",
    required=True,
    type=_PATH,
    help="File of the model: .skops (data; also if there is no ending) or .joblib (code, as other tools read it).",
)
@click.option("--name", help="Of the model; the file's name if left out.")
@click.option(
    "--false-alarm-rate",
    default=0.01,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of usual rows that may be called anomalies; the threshold is calibrated to it on rows held back.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Of samples and of the method."
)
@click.option("--label", help="Column that is 1 where a row is an anomaly: not learned from, and judged by.")
@click.option("--unit", help="Column that names the machine of a row, for lead times.")
@click.option("--time", "moment", help="Column that says when a row was, for lead times.")
@click.option("--overwrite", is_flag=True, help="Replace a model of that name.")
@_reads_csv
def train(
    detector: str,
    data: Path,
    features: str | None,
    all_numeric: bool,
    exclude: str | None,
    output: Path,
    name: str | None,
    false_alarm_rate: float,
    seed: int,
    label: str | None,
    unit: str | None,
    moment: str | None,
    overwrite: bool,
    encoding: str | None,
    separator: str | None,
    decimal_comma: bool | None,
) -> None:
    """Train a detector on the rows of a file, and register its bytes.

    A fifth of the rows is held back to calibrate the threshold, or as many as it needs. Methods that do not scale learn
    from a seeded sample, and say so. With --label it is told how well the detector does on rows that it did not learn
    from.
    """
    from forecast_assets.anomalies.training import DetectorRequest
    from forecast_assets.operations.anomaly_models import train_anomaly_model
    from forecast_assets.presentation.anomalies import training_text
    from forecast_assets.presentation.text import progress_lines

    if (features is None) == (not all_numeric):
        raise click.UsageError("Give either --features or --all-numeric.")
    if exclude is not None and not all_numeric:
        raise click.UsageError("--exclude is of use with --all-numeric only.")
    request = DetectorRequest(
        detector=detector,
        name=name or output.stem,
        features=None if all_numeric else _names(features),
        excluded=_names(exclude),
        false_alarm_rate=false_alarm_rate,
        seed=seed,
        label=label,
        unit=unit,
        time=moment,
    )
    with progress_lines() as progress:
        outcome = train_anomaly_model(
            current().operational_path,
            data,
            output,
            request,
            dialect=_dialect(encoding, separator, decimal_comma),
            overwrite=overwrite,
            progress=progress,
        )
    click.echo(training_text(outcome))


@anomalies.command("list")
def list_models() -> None:
    """List the models that were trained on this home, and whether their files are as they were."""
    from forecast_assets.operations.anomaly_models import list_anomaly_models
    from forecast_assets.presentation.anomalies import models_text

    click.echo(models_text(list_anomaly_models(current().operational_path)))


@anomalies.command(
    epilog=examples(
        "forecast-assets anomalies snapshot",
        "forecast-assets anomalies snapshot --date 2025-06-30 --earlier 49    # of a store without earlier snapshots",
        "forecast-assets anomalies snapshot --all --out anomalies.html        # every series, and a page",
    )
)
@click.option("--date", "day", type=DAY, help="Day to judge; the newest that is over by default.")
@click.option(
    "--earlier",
    default=0,
    show_default=True,
    type=click.IntRange(0, 366),
    help="Make the snapshots of so many days before it first, where they are missing; 15 are needed, 49 are used. Days "
    "with incomplete inputs are left out and named.",
)
@click.option("--all", "shows_all", is_flag=True, help="Show every anomalous series, not only the highest scores.")
@page_option("FILE.html for a page with a picture; must be new.")
def snapshot(day: date | None, earlier: int, shows_all: bool, out: Path | None) -> None:
    """Judge the series of a day's snapshot against their own earlier ones.

    A detector is trained on the snapshots before the day where the newest is older than the setting
    anomaly_retraining_weeks says. Feeds of which too many series are anomalous open an item of the backlog. A day that
    was judged by the same bytes with the same numbers is not recorded again. All series: the view
    audit.feature_anomalies.
    """
    from forecast_assets.operations.feature_anomalies import anomaly_report
    from forecast_assets.presentation.feature_anomalies import anomaly_page, anomaly_text

    def work(runner: "Runner") -> None:
        lacking: list[IncompleteInputsError] = []
        try:
            judged = runner.anomalies(day, earlier=earlier, left_out=lacking.append)
            report = anomaly_report(runner.stores, judged)
            click.echo(anomaly_text(report, shows_all=shows_all))
        finally:
            # Also where there are too few snapshots: these are why.
            for error in lacking:
                click.echo(f"left out: {error}", err=True)
        write_page(out, lambda: anomaly_page(report))

    with_runner(work)


@anomalies.command(epilog=examples("forecast-assets anomalies detectors"))
def detectors() -> None:
    """List the detectors that were trained on snapshots, the last first; the view is audit.anomaly_detectors."""
    from forecast_assets.operations.feature_anomalies import anomaly_detectors
    from forecast_assets.presentation.feature_anomalies import detectors_text

    click.echo(detectors_text(anomaly_detectors(opened())))


@click.command(
    epilog=examples(
        "forecast-assets score --model bearings.skops --input new.csv --output scores",
        "forecast-assets score --model theirs.joblib --sha256 5b0c... --input new.parquet --output scores",
    )
)
@click.option("--model", required=True, type=_PATH, help="File of the model, .skops or .joblib.")
@click.option("--input", "data", required=True, type=_PATH, help="CSV or Parquet file with the model's features.")
@click.option(
    "--output", required=True, type=_PATH, help="Base of BASE.csv, BASE.parquet and BASE_metadata.json, which are new."
)
@click.option("--threshold", type=float, help="A score above it is an anomaly; the model's if left out.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Rows read at a time, in steps of 4,096; as many as fit well if left out. No score depends on it.",
)
@click.option(
    "--on-invalid",
    default="impute",
    show_default=True,
    type=click.Choice(_ON_INVALID),
    help="Where a feature is missing or infinite: take the mean of training, leave the row out, or stop.",
)
@click.option("--sha256", help="Hash of the model's file, as who trained it tells it; any other file is refused.")
@click.option("--trust", is_flag=True, help="Load a .joblib file, which is code, without knowing where it comes from.")
@click.option("--overwrite", is_flag=True, help="Replace files of these names.")
@click.option("--verbose", is_flag=True, help="Tell the model and the most anomalous rows too.")
@_reads_csv
def score(
    model: Path,
    data: Path,
    output: Path,
    threshold: float | None,
    batch_size: int | None,
    on_invalid: str,
    sha256: str | None,
    trust: bool,
    overwrite: bool,
    verbose: bool,
    encoding: str | None,
    separator: str | None,
    decimal_comma: bool | None,
) -> None:
    """Score the rows of a file by an anomaly model; higher is more anomalous.

    All columns are kept, and anomaly_score, is_anomaly (1 above the threshold), threshold_used, scored_at and
    model_name added. A model that was trained on this home is loaded as it is; a .joblib file from elsewhere is code,
    and wants --sha256 or --trust.
    """
    with swift_imports():
        from forecast_assets.anomalies.detectors import import_estimators
        from forecast_assets.operations.anomaly_models import Vouched
        from forecast_assets.operations.anomaly_scoring import ScoringRequest, score_table
        from forecast_assets.presentation.anomalies import scoring_text
        from forecast_assets.presentation.text import progress_lines

        store = current().operational_path
    # Who mistyped a name is told at once.
    if model.is_file() and data.is_file():
        # scikit-learn asks for pandas when it is imported, and reads arrays without it.
        with swift_imports(without=("pandas",)):
            import_estimators()

    request = ScoringRequest(
        model=model,
        data=data,
        output=output,
        threshold=threshold,
        batch_size=batch_size,
        on_invalid=on_invalid,
        dialect=_dialect(encoding, separator, decimal_comma),
        vouched=Vouched(sha256, trust),
        overwrite=overwrite,
    )
    with progress_lines() as progress:
        outcome = score_table(store, request, progress=progress)
    for warning in outcome.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(scoring_text(outcome, verbose=verbose))


COMMANDS: Final = (anomalies, score)
