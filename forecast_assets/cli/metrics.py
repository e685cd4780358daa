"""The command that prints figures for monitoring.

What belongs here: its arguments. What does not: a figure.
"""

from pathlib import Path
from typing import Final

import click

from forecast_assets.cli.common import current, examples, opened


@click.command(
    epilog=examples(
        "forecast-assets metrics",
        "forecast-assets metrics --out /var/lib/node_exporter/forecast_assets.prom",
    )
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write them to this file, whole or not at "
              "all, instead of printing them.")  # fmt: skip
def metrics(out: Path | None) -> None:
    """Print figures of the home in Prometheus' text format: ledger, feeds, runs, checks, accuracy, drift, overrides.

    Figures of requests are those of a service, at its /metrics.
    """
    from forecast_assets.telemetry.collectors import home_collectors
    from forecast_assets.telemetry.exposition import metrics_text, write_metrics

    text = metrics_text(home_collectors(current(), opened()))
    if out is None:
        click.echo(text, nl=False)
        return
    write_metrics(out, text)
    click.echo(f"Written to {out}.")


COMMANDS: Final = (metrics,)
