"""Days as texts write them, and the day on which a moment lies.

What belongs here: in which form days are written, and from texts and moments to days. What does not: numbers
(``text_numbers``), types of a contract (``casting``).

A form is found by what it reads. Where two forms read the same texts as different days, as 03/04/2025 in April and in
March, that is a doubt unless some text, such as 13/04/2025, leaves one of them only.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import polars as pl

ISO: Final = "%Y-%m-%d"
# Whole days since 1899-12-30, as spreadsheets number them.
SERIAL: Final = "excel"

_FORMS: Final = {
    ISO: r"^\d{4}-\d{1,2}-\d{1,2}$",
    "%Y/%m/%d": r"^\d{4}/\d{1,2}/\d{1,2}$",
    "%Y.%m.%d": r"^\d{4}\.\d{1,2}\.\d{1,2}$",
    "%Y%m%d": r"^(?:19|2[0-2])\d{6}$",
    "%d.%m.%Y": r"^\d{1,2}\.\d{1,2}\.\d{4}$",
    "%d/%m/%Y": r"^\d{1,2}/\d{1,2}/\d{4}$",
    "%m/%d/%Y": r"^\d{1,2}/\d{1,2}/\d{4}$",
    "%d-%m-%Y": r"^\d{1,2}-\d{1,2}-\d{4}$",
    "%m-%d-%Y": r"^\d{1,2}-\d{1,2}-\d{4}$",
    "%d-%b-%Y": r"^\d{1,2}-[A-Za-z]{3}-\d{4}$",
    "%d %b %Y": r"^\d{1,2} [A-Za-z]{3} \d{4}$",
    # 2000 to 2099: other numbers of five digits are hardly days.
    SERIAL: r"^(?:3652[6-9]|365[3-9]\d|36[6-9]\d\d|(?:3[7-9]|[4-6]\d|7[0-2])\d{3}|730[0-4]\d|73050)$",
}
FORMS: Final = tuple(_FORMS)
_SERIAL_ZERO: Final = date(1899, 12, 30)
_TWO_DIGITS: Final = r"^\d{1,2}([./-])\d{1,2}[./-]\d{2}(?:[T ].*)?$"
# A day, and perhaps a time of day with a zone.
_MOMENT: Final = (
    r"^(?<day>.+?)(?:[T ]+(?<hour>[01]?\d|2[0-3]):(?<minute>[0-5]\d)(?::(?<second>[0-5]\d)(?:[.,]\d+)?)?"
    r"\s?(?<half>[AaPp][Mm])?\s?(?<zone>Z|[+-]\d{2}:?\d{2})?)?$"
)
_NOON: Final = 12


@dataclass(frozen=True)
class FoundForm:
    """In which form a column of texts writes its days.

    Attributes:
        form: As for ``str.to_date``, or `excel`; None if none of them reads any.
        other: Another form that reads as many of them as other days; empty if there is none.
    """

    form: str | None
    other: str = ""


@dataclass(frozen=True)
class Days:
    """Days, and where they depend on a time zone that nobody said.

    Attributes:
        days: [rows]; null where a text is no day of the form.
        is_unzoned: [rows] whether it is a moment with a zone, not at midnight UTC, that was taken as a day of UTC.
    """

    days: pl.Series
    is_unzoned: pl.Series


def found_form(texts: pl.Series) -> FoundForm:
    """Return the form that reads most of some texts.

    Args:
        texts: Days, perhaps with a time of day.

    Example:
        >>> found_form(pl.Series(["03/04/2025", "13/04/2025"]))
        FoundForm(form='%d/%m/%Y', other='')
        >>> found_form(pl.Series(["03/04/2025", "05/04/2025"]))
        FoundForm(form='%d/%m/%Y', other='%m/%d/%Y')
        >>> found_form(pl.Series(["30.06.25"]))
        FoundForm(form=None, other='')
    """
    days = _parts(texts.drop_nulls().unique().sort()).get_column("day").unique().sort()
    read = {form: _day(days, form) for form in FORMS}
    counts = {form: len(found) - found.null_count() for form, found in read.items()}
    most = max(counts.values())
    if not most:
        return FoundForm(None)
    best, *others = [form for form, count in counts.items() if count == most]
    # Null where one of them reads nothing: then no text is in doubt between them.
    differing = [form for form in others if (read[form] != read[best]).any()]
    return FoundForm(best, differing[0] if differing else "")


def has_short_years(texts: pl.Series) -> bool:
    """Whether texts write years with two digits, which are not read: 30.06.25 may be of 1925, or 2030-06-25.

    Example:
        >>> has_short_years(pl.Series(["30.06.25"])), has_short_years(pl.Series(["30.06.2025"]))
        (True, False)
    """
    return bool(texts.str.contains(_TWO_DIGITS).any())


def text_days(texts: pl.Series, form: str, zone: str | None = None) -> Days:
    """Read texts as days of one form; of moments the day.

    Args:
        texts: [rows] days, perhaps with a time of day, perhaps with a zone.
        form: One of ``FORMS``.
        zone: IANA name of the zone whose day counts for moments that say their own zone; None for UTC. A time of day
            without a zone changes nothing: its day is the one that is written.

    Example:
        >>> read = text_days(pl.Series(["2025-06-30 14:05", "2025-06-29T22:00:00Z"]), ISO, "Europe/Berlin")
        >>> [str(day) for day in read.days]
        ['2025-06-30', '2025-06-30']
    """
    parts = _parts(texts)
    days = _day(parts["day"], form).alias(texts.name)
    if not parts["zone"].is_not_null().any():
        return Days(days, _nowhere(texts))
    read = parts.with_columns(days=days)
    moment = (pl.col("days").cast(pl.Datetime("us")) + _time_of_day() - _offset()).dt.replace_time_zone("UTC")
    zoned = read.select(pl.when(pl.col("zone").is_not_null()).then(moment)).to_series()
    found = moment_days(zoned, zone)
    return Days(pl.select(pl.coalesce(found.days, days)).to_series().alias(texts.name), found.is_unzoned)


def moment_days(moments: pl.Series, zone: str | None = None) -> Days:
    """Return the days of moments.

    Args:
        moments: [rows] of a type with or without a zone.
        zone: IANA name of the zone whose day counts; None for the zone that the type says. Moments without a zone are
            of the day that they say.
    """
    own = moments.dtype.time_zone if isinstance(moments.dtype, pl.Datetime) else None
    if own is None:
        return Days(moments.dt.date(), _nowhere(moments))
    if zone is not None:
        return Days(moments.dt.convert_time_zone(zone).dt.date(), _nowhere(moments))
    is_inside = moments.dt.time() != pl.select(pl.time(0)).item() if own == "UTC" else _nowhere(moments)
    return Days(moments.dt.date(), is_inside.fill_null(value=False))


def is_time_zone(name: str) -> bool:
    """Whether a name is that of a time zone.

    Example:
        >>> is_time_zone("Europe/Berlin"), is_time_zone("Berlin")
        (True, False)
    """
    try:
        pl.select(pl.lit(datetime(2025, 1, 1, tzinfo=UTC)).dt.convert_time_zone(name))
    except (pl.exceptions.PolarsError, ValueError):
        return False
    return True


def _parts(texts: pl.Series) -> pl.DataFrame:
    """Return `day, hour, minute, second, half, zone` of texts; without a time of day the day is all of it."""
    return pl.select(pl.lit(texts.str.strip_chars()).str.extract_groups(_MOMENT).alias("parts")).unnest("parts")


def _day(texts: pl.Series, form: str) -> pl.Series:
    fitting = texts.set(~texts.str.contains(_FORMS[form]).fill_null(value=False), None)
    if form == SERIAL:
        return pl.select(pl.lit(_SERIAL_ZERO) + pl.duration(days=pl.lit(fitting).cast(pl.Int64))).to_series()
    return fitting.str.to_titlecase().str.to_date(form, strict=False)


def _time_of_day() -> pl.Expr:
    hour, half = pl.col("hour").cast(pl.Int64), pl.col("half").str.to_lowercase()
    in_day = pl.when(half.is_null()).then(hour).otherwise(hour % _NOON + _NOON * (half == "pm").cast(pl.Int64))
    minute, second = (pl.col(name).cast(pl.Int64).fill_null(0) for name in ("minute", "second"))
    return pl.duration(hours=in_day, minutes=minute, seconds=second)


def _offset() -> pl.Expr:
    digits = pl.col("zone").str.replace("Z", "+0000", literal=True).str.replace(":", "", literal=True)
    sign = pl.when(digits.str.starts_with("-")).then(-1).otherwise(1)
    minutes = digits.str.slice(1, 2).cast(pl.Int64) * 60 + digits.str.slice(3, 2).cast(pl.Int64)
    return pl.duration(minutes=sign * minutes)


def _nowhere(values: pl.Series) -> pl.Series:
    return pl.Series(values.name, [False], dtype=pl.Boolean).new_from_index(0, len(values))
