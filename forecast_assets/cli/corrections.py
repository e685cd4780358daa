"""Commands on what has changed since a run was published: restatements, correct, compare.

What belongs here: their arguments. What does not: logic.
"""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from forecast_assets.cli.common import DAY, as_of_option, examples, opened, with_runner
from forecast_assets.cli.copies import follow_copy
from forecast_assets.core.keys import CADENCES, RunKey, require_version_name

if TYPE_CHECKING:
    from forecast_assets.launch import Runner


@click.command(
    epilog=examples(
        "forecast-assets restatements",
        "forecast-assets restatements --date 2025-06-30 --model-version stat-1",
    )
)
@click.option("--date", "day", type=DAY, help="Only runs of this prediction date.")
@click.option("--model-version", help="Only runs of this model version.")
@click.option("--cadence", type=click.Choice([*CADENCES]), help="Only runs of this cadence.")
def restatements(day: date | None, model_version: str | None, cadence: str | None) -> None:
    """List published runs whose inputs have changed since: late rows, restated rows, and what they would become.

    Published numbers never change by themselves: each run that is listed comes with the command that corrects it.
    """
    from forecast_assets.corrections.restatements import newest_revisions, pending_restatements
    from forecast_assets.presentation.corrections import restatements_text
    from forecast_assets.presentation.text import progress_lines

    stores = opened()
    if model_version is not None:
        stores.registry.model_version(model_version)
    runs = newest_revisions(stores.ledger.state(), cadence=cadence, day=day, model_version=model_version)
    with progress_lines() as progress:
        found = list(pending_restatements(stores, runs, progress))
    click.echo(restatements_text(found, len(runs)))


@click.command(
    epilog=examples(
        "forecast-assets correct --cadence daily --date 2025-06-30 --model-version stat-1 \\",
        '    --by ana --reason "store S-01 sent its sales again"',
    )
)
@click.option("--cadence", required=True, type=click.Choice([*CADENCES]), help="Rhythm of the run.")
@click.option("--date", "day", required=True, type=DAY, help="Prediction date of the run.")
@click.option("--model-version", required=True, help="Model version; never implied.")
@click.option("--horizon", type=int, help="Horizon of the run; needed where several are published.")
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
@click.option("--known-until", type=click.DateTime(), help="UTC; default: all that is known now.")
def correct(
    cadence: str,
    day: date,
    model_version: str,
    horizon: int | None,
    by: str,
    reason: str,
    known_until: datetime | None,
) -> None:
    """Publish a new revision of a run, made from what has become known since; the earlier ones stay readable.

    The same path and the same checks as any run. Refused if no input has changed.
    """
    from forecast_assets.operations.reading import resolve_horizon
    from forecast_assets.presentation.corrections import correction_text
    from forecast_assets.presentation.state import outcome_text

    moment = None if known_until is None else known_until.replace(tzinfo=UTC)

    def work(runner: "Runner") -> None:
        version = require_version_name(model_version)
        key = RunKey(cadence, day, version, resolve_horizon(runner.stores, cadence, day, version, horizon))
        outcome = runner.correct(key, by=by, reason=reason, known_until=moment)
        click.echo(outcome_text(runner.stores, outcome))
        click.echo(correction_text(outcome.publication))

    with_runner(work)
    follow_copy()


@click.command(
    epilog=examples(
        "forecast-assets compare daily/2025-06-30/stat-1/28/r0 daily/2025-06-30/stat-1/28/r1",
        "forecast-assets compare --why daily/2025-06-29/stat-1/28/r0 daily/2025-06-30/stat-1/28/r0 --store S-01",
        "forecast-assets compare daily/2025-06-29/stat-1/28/r0/FOOD-0001/S-01/2 \\",
        "    daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/1",
    ),
)
@click.argument("first")
@click.argument("second")
@click.option(
    "--why", is_flag=True, help="Share the difference of every row out among causes; runs may be of any date."
)
@click.option("--sku", help="With --why: only this SKU.")
@click.option("--store", help="With --why: only this store.")
@click.option("--day", type=DAY, help="With --why: only this target day.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="With --why: FILE.parquet or FILE.csv for all rows by cause; must be new.",
)
@as_of_option
def compare(
    first: str,
    second: str,
    *,
    why: bool,
    sku: str | None,
    store: str | None,
    day: date | None,
    out: Path | None,
    as_of: int | datetime | None,
) -> None:
    """Say what moved between two published runs, by which driver, in which series, and why.

    FIRST and SECOND are run keys, cadence/date/version/horizon/rN, as in the list of runs; or prediction ids of one
    series and target day, as in the views. Without --why the runs are of one date.

    With --why, and of two predictions, both runs are forecast again with inputs of either, and the difference of each
    row is shared out among observations, plans, model version, reconciliation and what a change of code did, exactly.
    """
    from forecast_assets.core.keys import parse_run_or_row
    from forecast_assets.operations.attributing import RunPair
    from forecast_assets.operations.common_rows import require_same_row
    from forecast_assets.operations.comparison import compare_runs
    from forecast_assets.operations.new_files import FRAMES, require_new, write_frame
    from forecast_assets.presentation.attribution import pair_text
    from forecast_assets.presentation.corrections import comparison_text
    from forecast_assets.presentation.text import progress_lines

    (before, row), (after, other) = parse_run_or_row(first), parse_run_or_row(second)
    if (row is None) != (other is None):
        raise click.UsageError("Name two runs, or two predictions.")
    if row is not None and other is not None:
        day = require_same_row(row, other)
        store, sku = row.store_id, row.sku_id
    elif not why:
        if sku or store or day or out:
            raise click.UsageError("--sku, --store, --day and --out are of --why.")
        click.echo(comparison_text(compare_runs(opened(as_of), before, after)))
        return
    if out is not None:
        require_new(out, FRAMES)
    with progress_lines() as progress:
        pair = RunPair.of(opened(as_of), before, after, progress=progress)
    click.echo(pair_text(pair, store_id=store, sku_id=sku, day=day))
    if out is not None:
        rows = pair.attribution.rows()
        write_frame(rows, out)
        click.echo(f"\nWrote {rows.height:,} rows to {out}")


COMMANDS: Final = (restatements, correct, compare)
