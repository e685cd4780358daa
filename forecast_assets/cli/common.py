"""What the commands share: types of arguments, options that name a run, settings, the runner.

What belongs here: parsing that more than one command does. What does not: a command.
"""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import click

from forecast_assets.errors import InputError
from forecast_assets.keys import CADENCES

if TYPE_CHECKING:
    from forecast_assets.operations.runner import Runner
    from forecast_assets.settings import Settings
    from resources.stores import Stores


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


def examples(*lines: str) -> str:
    """Return examples as a command's epilogue."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def current() -> "Settings":
    """Return the settings of this process; what is not usable is an input error."""
    from tomllib import TOMLDecodeError

    from pydantic import ValidationError

    from forecast_assets.settings import CONFIGURATION_FILE, current_settings

    try:
        return current_settings()
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
    from forecast_assets.operations.runner import Runner
    from forecast_assets.presentation.text import progress_lines

    with progress_lines() as report:
        work(Runner(current(), report))


def opened() -> "Stores":
    """Return the stores of the home folder."""
    from resources.stores import open_stores

    return open_stores(current().store_folder)


def published(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name a published run."""
    for option in (
        click.option("--revision", type=click.IntRange(0), help="Revision; needed where a run has been corrected."),
        click.option("--horizon", type=int, help="Horizon of the run; needed where several are published."),
        click.option("--model-version", required=True, help="Model version; never implied."),
        click.option("--date", "day", required=True, type=DAY, help="Prediction date."),
        click.option("--cadence", default="daily", show_default=True, type=click.Choice([*CADENCES])),
    ):
        function = option(function)
    return function
