"""Public holidays of a country as events, from the library `holidays` (vacanza, MIT).

What belongs here: from a country and a span of days to a batch. What does not: which events matter (models find out).

The library computes holidays by rule, some religious ones from estimates; a later version of it may know better. Names
are in English where the library has them, whatever this machine's language.
"""

import re
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import ALL_STORES, EVENTS, TIMESTAMP
from forecast_assets.core.errors import SourceError, first_ten
from forecast_assets.history.moments import midnight
from forecast_assets.ingestion.batch import Batch

TRUST: Final = 0.5
KNOWN_AHEAD: Final = timedelta(days=365)
_ENGLISH: Final = ("en_US", "en_GB", "en")


def read_country_holidays(
    country: str, since: date, until: date, *, subdivision: str | None = None, store_node: str = ALL_STORES
) -> Batch:
    """Return the public holidays of a country, known a year ahead.

    Args:
        country: ISO 3166 code, for example `US`.
        since: First day.
        until: Last day.
        subdivision: State, province or canton, for example `CA`; without it the holidays of the whole country.
        store_node: Store, or node of a store level, that they are limited to.

    Returns:
        One row per holiday and day, from the source `holidays_us` or `holidays_us_ca`.

    Raises:
        SourceError: If country or subdivision are unknown, or there is no holiday in the span.
    """
    if until < since:
        raise SourceError(f"The span from {since} to {until} is empty.", remedy="Give --from before --to.")
    calendar = _calendar(country.upper(), subdivision, range(since.year, until.year + 1))
    rows = [(name, day) for day in sorted(calendar) for name in sorted(set(calendar.get_list(day)))]
    frame = (
        pl.DataFrame(rows, schema={"event_name": pl.String, "event_date": pl.Date}, orient="row")
        .filter(pl.col("event_date").is_between(since, until))
        .with_columns(
            store_node=pl.lit(store_node),
            event_kind=pl.lit(None, pl.String),
            known_at=midnight(pl.col("event_date") - KNOWN_AHEAD),
        )
        .with_columns(pl.col("known_at").cast(TIMESTAMP))
        .select(EVENTS.names)
        .sort("event_date", "event_name")
    )
    if frame.is_empty():
        raise SourceError(f"{country} has no holiday from {since} to {until}.", remedy="Give a longer span.")
    place = country if subdivision is None else f"{country}_{subdivision}"
    return Batch("events", f"holidays_{_word(place)}", TRUST, timedelta(0), frame)


def _calendar(country: str, subdivision: str | None, years: range) -> Any:
    """Return the library's calendar, its language fixed, so that the names do not depend on this machine."""
    import holidays

    known = holidays.list_supported_countries(include_aliases=True)
    if country not in known:
        raise SourceError(
            f"There is no country `{country}`. Known: {first_ten(sorted(code for code in known if len(code) == 2))}.",  # noqa: PLR2004 ISO 3166 alpha-2
            remedy="Give its two-letter code of ISO 3166, for example US.",
        )
    if subdivision is not None and subdivision not in known[country]:
        raise SourceError(
            f"`{country}` has no subdivision `{subdivision}`. Known: {first_ten(sorted(known[country])) or 'none'}.",
            remedy="Give one of its codes, or leave it out for the whole country.",
        )
    languages = holidays.country_holidays(country).supported_languages
    language = next((each for each in _ENGLISH if each in languages), None)
    return holidays.country_holidays(country, subdiv=subdivision, years=years, language=language)


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower())
