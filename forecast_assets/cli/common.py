"""What the commands share: types of arguments, options that name a run, settings, the runner.

What belongs here: parsing that more than one command does. What does not: a command.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from forecast_assets.core.errors import ForecastAssetsError, InputError
from forecast_assets.core.keys import CADENCES

if TYPE_CHECKING:
    from forecast_assets.launch import Runner
    from forecast_assets.settings import Settings
    from resources.ledger.log import Ledger
    from resources.stores.home import Stores
    from resources.stores.registry import Registry

# Where a command keeps that it has told of the clock.
_TOLD: Final = "forecast_assets.clock_told"


class _Day(click.ParamType[date, Any]):
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"`{value}` is not a date; write it as 2024-06-11.", param, ctx)


DAY: Final = _Day()


class _Family(click.ParamType[str, Any]):
    """One of the model families that are trained here; looked up when one is asked for, since it takes time."""

    name = "choice"

    @cached_property
    def _choice(self) -> click.Choice[str]:
        from forecast_assets.models.family import trained_families

        return click.Choice(list(trained_families()))

    def to_info_dict(self) -> Any:
        return self._choice.to_info_dict()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return self._choice.convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        return self._choice.get_metavar(param, ctx)

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:
        return self._choice.get_missing_message(param, ctx)


FAMILY: Final = _Family()


class _Position(click.ParamType["int | datetime", Any]):
    name = "entry or UTC moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | datetime:
        if isinstance(value, int | datetime):
            return value
        try:
            if value.isdecimal():
                return int(value)
            if len(value) <= len("2024-06-11"):
                return datetime.combine(date.fromisoformat(value), time(23, 59, 59), UTC)
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"`{value}` is no position of the ledger; write an entry's number as 41, a moment (UTC) as "
                "2025-07-01T09:00, or a date as 2025-07-01 for the end of that day.",
                param,
                ctx,
            )


as_of_option: Final = click.option(
    "--as-of",
    type=_Position(),
    help="Read as the ledger stood: an entry's number, a moment such as 2025-07-01T09:00 (UTC), or a date (its end).",
)


PAGE: Final = (".html",)


def page_option(says: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option of a page that is written besides; a name that cannot be used is refused before any work.

    Args:
        says: What the page is, for the help.
    """
    return click.option("--out", type=click.Path(path_type=Path, dir_okay=False), callback=_usable_page, help=says)


def _usable_page(ctx: click.Context, param: click.Parameter, out: Path | None) -> Path | None:
    del param
    if out is not None and not ctx.resilient_parsing:
        from forecast_assets.operations.new_files import require_new

        require_new(out, PAGE)
    return out


def write_page(out: Path | None, page: Callable[[], str]) -> None:
    """Write a page as a new file and say where; nothing without a name."""
    if out is None:
        return
    from forecast_assets.operations.new_files import new_file

    with new_file(out, PAGE) as scratch:
        scratch.write_text(page(), encoding="utf-8")
    click.echo(f"\nWritten to {out}.")


def examples(*lines: str) -> str:
    """Return examples as a command's epilogue."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def current(home: Path | None = None) -> "Settings":
    """Return the settings of this process, or of another home; what is not usable is an input error."""
    from tomllib import TOMLDecodeError

    from pydantic import ValidationError

    from forecast_assets.settings import CONFIGURATION_FILE, Settings, current_settings

    try:
        return current_settings() if home is None else Settings(home=home)
    except (TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(
            f"`{CONFIGURATION_FILE}` in the working folder cannot be read: {error}.", remedy="Correct or remove it."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        raise InputError(
            f"The setting `{name}` is not usable: {first['msg']}.",
            remedy=f"Correct FORECAST_ASSETS_{name.upper()} or forecast-assets.toml.",
        ) from error


def with_runner(work: "Callable[[Runner], None]") -> None:
    """Do something with a runner that prints its progress."""
    from forecast_assets.launch import Runner
    from forecast_assets.presentation.text import progress_lines

    settings = current()
    listen_to_the_end(settings)
    with progress_lines() as progress:
        runner = Runner(settings, progress)
        _tell_clock_behind(runner.stores.ledger)
        work(runner)


def listen_to_the_end(settings: "Settings") -> None:
    """Let telemetry listen until the command has ended, with what follows from its work in mirrors."""
    from forecast_assets.telemetry.starting import start, stop

    context = click.get_current_context(silent=True)
    if context is not None:
        start(settings, "batch")
        context.find_root().call_on_close(stop)


def opened(as_of: int | datetime | None = None, *, says: bool = True) -> "Stores":
    """Return the stores of the home folder, now or as they stood.

    Args:
        as_of: Position of the ledger; None for now.
        says: Whether a past position is printed, so that nobody takes what follows for what is true now.
    """
    from resources.stores.home import open_stores

    settings = current()
    stores = open_stores(settings.store, settings.mirror_folder)
    _tell_clock_behind(stores.ledger)
    if as_of is None:
        return stores
    from forecast_assets.operations.reading import stores_as_of
    from forecast_assets.presentation.text import position_text

    past = stores_as_of(stores, as_of)
    if says:
        click.echo(f"{position_text(past)}\n")
    return past


def opened_registry() -> "Registry":
    """Return the model versions and channels of the home folder, without what frames are read by."""
    from resources.stores.registry import open_registry

    settings = current()
    registry = open_registry(settings.store, settings.mirror_folder)
    _tell_clock_behind(registry.ledger)
    return registry


def _tell_clock_behind(ledger: "Ledger") -> None:
    """Warn, once in a command, if the clock is behind the ledger: what is decided counts as of its newest entry."""
    from forecast_assets.presentation.clock import clock_text

    context = click.get_current_context(silent=True)
    told = {} if context is None else context.find_root().meta
    # A ledger that cannot be read is told by the command itself, in its own words.
    with suppress(ForecastAssetsError):
        words = clock_text(ledger.state())
        if words and _TOLD not in told:
            click.echo(words, err=True)
            told[_TOLD] = True


def published(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name a published run."""
    for option in (
        click.option("--revision", type=click.IntRange(0), help="Revision; needed where a run has been corrected."),
        click.option("--horizon", type=int, help="Horizon of the run; needed where several are published."),
        click.option("--model-version", required=True, help="Model version; never implied."),
        click.option("--date", "day", required=True, type=DAY, help="Prediction date."),
        click.option(
            "--cadence", default="daily", show_default=True, type=click.Choice([*CADENCES]), help="Rhythm of the run."
        ),
    ):
        function = option(function)
    return function
