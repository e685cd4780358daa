"""The forecast-assets command: parses, calls, prints.

What belongs here: the group of commands, and how errors end. What does not: logic.

Heavy modules are imported inside the commands, so that `--help` answers at once.
"""

import os
import sys
from contextlib import suppress
from typing import Final, NoReturn

import click

from forecast_assets import __version__
from forecast_assets.cli import (
    accuracy,
    anomalies,
    backtests,
    backups,
    calibration,
    challengers,
    copies,
    corrections,
    drift,
    events,
    feedback,
    health,
    ingestion,
    metrics,
    mirror,
    models,
    outbox,
    overrides,
    policies,
    replays,
    reviews,
    runs,
    serving,
    store,
    stream,
    support,
    views,
)
from forecast_assets.cli.common import examples
from forecast_assets.cli.exit_codes import DEFECT, INTERRUPTED, exit_code
from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.core.library_errors import as_own_error
from forecast_assets.presentation.actions import error_text

_INTERRUPTED: Final = (
    "Interrupted. What stops before its commit publishes nothing; see what is published: forecast-assets runs. "
    "The same command again goes on where it can."
)
_EXAMPLES: Final = examples(
    "forecast-assets demo",
    "forecast-assets ingest simulated data/retailer",
    "forecast-assets train --family statistical --version stat-1 --cutoff 2025-06-30",
    'forecast-assets promote stat-1 --by ana --reason "first version"',
    "forecast-assets run --cadence daily --date 2025-06-30 --model-version stat-1",
    "forecast-assets show risks --date 2025-06-30 --model-version stat-1 --top 10",
)
_EXIT_CODES: Final = (
    "Exit codes: 0 done (or done before), 2 input that cannot be used, 3 not ready (something is missing), 4 refused "
    "(a promise would break), 5 stored bytes are not what was recorded, 6 storage (disk full, read-only), "
    "130 interrupted, 70 a defect."
)


def main() -> None:
    """Run the command; every error the product raises on purpose ends in one line and its exit code."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail(_INTERRUPTED, INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ForecastAssetsError as error:
        _fail(error_text(error), exit_code(type(error)))
    except KeyboardInterrupt:
        _fail(_INTERRUPTED, INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get("FORECAST_ASSETS_DEBUG"):
            raise
        known = as_own_error(error)
        if known:
            _fail(error_text(known), exit_code(type(known)))
        _fail(
            f"{type(error).__name__}: {error} This is a defect or a broken installation. A run that stops before its "
            "commit publishes nothing. Run again with FORECAST_ASSETS_DEBUG=1 to see where.",
            DEFECT,
        )


def _fail(message: str, code: int) -> NoReturn:
    with suppress(OSError):
        click.echo(f"error: {message}", err=True)
    sys.exit(code)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"{_EXAMPLES}\n\n{_EXIT_CODES}",
)
@click.version_option(__version__, prog_name="forecast-assets")
def cli() -> None:
    """Demand and inventory intelligence as immutable, versioned, replayable data products.

    All state lives below FORECAST_ASSETS_HOME (default ./var).

    """


for _module in (
    runs, corrections, overrides, ingestion, models, policies, challengers, calibration, backtests, views, accuracy,
    reviews, drift, anomalies, mirror, copies, outbox, store, backups, replays, serving, stream, support,
    events, feedback, health, metrics,
):  # fmt: skip
    for _command in _module.COMMANDS:
        cli.add_command(_command)
