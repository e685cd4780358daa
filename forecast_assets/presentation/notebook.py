"""What notebooks share: opening the stores, offering choices, and ending a cell with words where there is nothing.

What belongs here: what more than one notebook asks or says. What does not: reading products, or drawing them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.operations.reading import published_runs
from forecast_assets.presentation.actions import error_text
from forecast_assets.settings import current_settings
from resources.ledger.entries.publish import Publication
from resources.stores.home import Stores, open_stores

if TYPE_CHECKING:
    from marimo import ui

Found = TypeVar("Found")


def stop(words: str, kind: Literal["info", "warn", "danger"] = "info") -> NoReturn:
    """End the cell, and those that build on it, with words in Markdown.

    Raises:
        MarimoStopError: Always; marimo shows what it carries.
    """
    import marimo as mo

    raise mo.MarimoStopError(mo.callout(mo.md(words), kind=kind))


def open_or_stop(find: Callable[[Stores], Found], otherwise: str) -> tuple[Stores, Found]:
    """Open the stores, without creating any, and return them with what is found there.

    Args:
        find: What to look for; empty where there is nothing to show.
        otherwise: What the cell ends with then; `{folder}` in it is where was looked.
    """
    settings = current_settings()
    stores = open_stores(settings.store, settings.mirror_folder)
    if found := find(stores):
        return stores, found
    stop(otherwise.format(folder=settings.store), "warn")


def or_stop(ask: Callable[[], Found]) -> Found:
    """Return what is asked for, or end the cell with what is wrong with the question, and what to do."""
    try:
        return ask()
    except ForecastAssetsError as error:
        stop(error_text(error), "danger")


def open_published() -> tuple[Stores, dict[str, Publication]]:
    """Open the stores, and return them with every published run by its key in text."""
    return open_or_stop(
        published_runs,
        "Nothing is published below `{folder}` yet. Run `make demo`, or name the folder: `FORECAST_ASSETS_HOME`.",
    )


def open_runs(
    asked: Mapping[str, Any], usual: Callable[[Stores], Publication] | None = None
) -> tuple[Stores, "ui.dropdown"]:
    """Open the stores, and offer the published runs.

    Args:
        asked: Arguments of the command line by name.
        usual: Which run is chosen where none is asked for; the first if left out.
    """
    stores, runs = open_published()
    begin = {} if usual is None or "run" in asked else {"run": str(or_stop(lambda: usual(stores)).key)}
    return stores, choose({**asked, **begin}, "run", runs, "`{}` is not published.")


def choose(
    asked: Mapping[str, Any],
    name: str,
    options: Sequence[str] | dict[str, Any],
    unknown: str,
    *,
    label: str = "",
    named: int | None = None,
    searchable: bool = True,
) -> "ui.dropdown":
    """Offer a choice, with what the command line asks for chosen, or else the first; or end the cell.

    Args:
        asked: Arguments of the command line by name.
        name: Name of the argument.
        options: Names in order, at least one; or by name the values that they stand for.
        unknown: What is said where no option is what was asked for, `{}`.
        label: What the choice is called; its name if left out.
        named: How many options are named then; all if left out.
        searchable: Whether the choice can be searched.
    """
    from marimo import ui

    value = asked.get(name, next(iter(options)))
    if value not in options:
        stop(f"{unknown.format(value)} There is: {', '.join(list(options)[:named])}.", "danger")
    return ui.dropdown(options, value=value, label=label or name, searchable=searchable)


def chosen(choice: "ui.dropdown", what: str) -> Any:
    """Return the value that is chosen, or end the cell where none is."""
    if choice.value is None:
        stop(f"Choose a {what}.")
    return choice.value
