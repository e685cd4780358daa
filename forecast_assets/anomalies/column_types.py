"""Types of a text file's columns, one for all rows of the file.

What belongs here: which type the texts of a column have, and casting a part of a file to the types of all of it. What
does not: reading files, or what a column is for.

A column has the narrowest type that all its texts can be read as: whole number, number, yes or no, day, moment, text.
Identifiers keep all their digits: what no whole number of eight bytes holds is text.
Days among moments are text: what time of the day they stand for is not said. All rows are learned from before the first
is cast, so that no type depends on how much is read at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from forecast_assets.core.errors import FIRST, InputError, SourceError, first_ten
from forecast_assets.sources.text_numbers import plain_numbers

# Texts that stand for no value where numbers stand.
MISSING: Final = ("", "NA", "N/A", "#N/A", "null", "NULL", "None", "none", "NaN", "nan")
_HEAD: Final = 64
_DAY: Final = "%Y-%m-%d"
_MOMENTS: Final = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
_TRUTH: Final = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}
# An identifier such as 007 would lose its zeros as a number.
_LEADING_ZERO: Final = r"^\s*[+-]?0\d"
# A float holds all whole numbers of fifteen digits.
_MANY_DIGITS: Final = r"^\s*[+-]?\d{16,}\s*$"
_WIDER: Final[Mapping[Any, Sequence[Any]]] = {
    pl.Int64: (pl.Float64, pl.String),
    pl.Float64: (pl.String,),
    pl.Boolean: (pl.String,),
    pl.Date: (pl.String,),
    pl.Datetime("us"): (pl.String,),
    pl.Datetime("us", "UTC"): (pl.String,),
    pl.String: (),
}
_NUMERIC: Final = (pl.Int64, pl.Float64)
_LADDER: Final = (pl.Int64, pl.Float64, pl.Boolean, pl.Date, pl.Datetime("us"), pl.Datetime("us", "UTC"), pl.String)


@dataclass
class ColumnTypes:
    """The types of a text file's columns, as far as it was read.

    Attributes:
        path: Of the file, for messages.
        numbers: Columns that have to be numbers: what is none is an error, not a reason to widen.
        is_comma: Whether decimals follow a comma.
        types: By column, of those in which a text was found.
        exact: Columns with whole numbers of more digits than a float keeps.
        valued: Columns with a text that is not one of those for no value.
    """

    path: str
    numbers: Sequence[str] = ()
    is_comma: bool = False
    types: dict[str, Any] = field(default_factory=dict)
    exact: set[str] = field(default_factory=set)
    valued: set[str] = field(default_factory=set)

    def learn(self, texts: pl.DataFrame) -> None:
        """Widen the types of columns of text until they fit these rows too."""
        for values in texts.iter_columns():
            found = self._narrowest(values)
            if found is not None:
                self.types[values.name] = found

    def unsettled(self, columns: Sequence[str]) -> list[str]:
        """Return those of some columns whose types more rows may widen."""
        return [name for name in columns if len(self._ladder(name)) > 1]

    def type_of(self, column: str) -> Any:
        """Return the type of a column; text where no row has a value but such as `none`, which may be a word there."""
        is_known = column in self.valued or column in self.numbers
        return self.types.get(column, pl.String) if is_known else pl.String

    def cast(self, texts: pl.DataFrame, first_row: int) -> pl.DataFrame:
        """Return rows in the types of their columns.

        Args:
            texts: Columns of text that were learned from.
            first_row: Number of the first of them, for messages.

        Raises:
            InputError: If a column of `numbers` has something else, with the rows.
            SourceError: If they are not the rows that were learned from.
        """
        made, wrong = [], list[str]()
        for values in texts.iter_columns():
            is_number = values.name in self.numbers
            column = self._as(values, self.type_of(values.name), is_feature=is_number)
            if column is not None:
                made.append(column)
            elif is_number:
                wrong += self._no_numbers(values, first_row)
            else:
                raise SourceError(
                    f"{self.path} was changed while it was read.", remedy="Read it again when nobody writes to it."
                )
        if wrong:
            raise InputError(
                f"{self.path} has what is no number where numbers are needed, {len(wrong):,} times: "
                f"{first_ten(wrong)}.",
                remedy="Correct these rows, or leave the column out of the features. Numbers are written as 1234.5, or "
                "as 1.234,5 with --decimal-comma; no value is an empty field, NA or NaN.",
                rows=wrong[:FIRST],
            )
        # By name: in a list the column without one would get another.
        return pl.DataFrame({column.name: column for column in made})

    def _ladder(self, name: str) -> Sequence[Any]:
        """Types that a column may have by what is known of it, the narrowest first."""
        known = self.types.get(name)
        ladder = _LADDER if known is None else (known, *_WIDER[known])
        if name in self.numbers:
            return [each for each in ladder if each in _NUMERIC]
        return [each for each in ladder if each != pl.Float64] if name in self.exact else ladder

    def _narrowest(self, values: pl.Series) -> Any:
        is_number = values.name in self.numbers
        # Of a column without a value nothing is known.
        if not is_number and not (values != "").any():
            return None
        if not all(_is_missing(each).all() for each in (values.head(_HEAD), values)):
            self.valued.add(values.name)
        if not is_number and _has_long_numbers(values):
            self.exact.add(values.name)
        ladder, head = self._ladder(values.name), values.head(_HEAD)
        for dtype in ladder[:-1]:
            # What does not fit the first rows is not tried on all of them.
            if all(self._as(each, dtype, is_feature=is_number) is not None for each in (head, values)):
                return dtype
        return ladder[-1]

    def _as(self, values: pl.Series, dtype: Any, *, is_feature: bool) -> pl.Series | None:
        """Return a column in a type; None if one of its texts cannot be read as that."""
        if dtype == pl.String:
            return values
        if dtype in _NUMERIC:
            return self._as_number(values, dtype, is_feature=is_feature)
        # What stands between quotes may be empty too.
        values = values.set(values == "", None)
        if dtype == pl.Boolean:
            made = values.replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
        elif dtype == pl.Date:
            made = values.str.to_date(_DAY, strict=False)
        else:
            made = moments(values, has_zone=dtype.time_zone is not None)
        return made if made.null_count() == values.null_count() else None

    def _as_number(self, values: pl.Series, dtype: Any, *, is_feature: bool) -> pl.Series | None:
        if not is_feature and values.str.contains(_LEADING_ZERO).any():
            return None
        if not self.is_comma:
            made = values.cast(dtype, strict=False)
            if made.null_count() == values.null_count():
                return made
        said = values.str.strip_chars()
        said = said.set(_is_missing(said), None)
        plain = plain_numbers(said, is_comma=self.is_comma)
        # What Polars reads of it and people do not write.
        made = plain.cast(dtype, strict=False)
        return made if made.null_count() == said.null_count() else None

    def _no_numbers(self, values: pl.Series, first_row: int) -> list[str]:
        said = values.str.strip_chars()
        said = said.set(_is_missing(said), None)
        is_bad = (
            plain_numbers(said, is_comma=self.is_comma).cast(pl.Float64, strict=False).is_null() & said.is_not_null()
        )
        at = is_bad.arg_true().to_list()
        return [f"row {first_row + row:,} of `{values.name}` {values[row]!r}" for row in at]


def _is_missing(texts: pl.Series) -> pl.Series:
    """[n] whether a text stands for no number; null where there is none."""
    return texts.str.strip_chars().is_in(MISSING)


def _has_long_numbers(texts: pl.Series) -> bool:
    """Whether there are whole numbers, such as identifiers, of which a float would not keep all digits."""
    long = texts.filter(texts.str.contains(_MANY_DIGITS)).str.strip_chars().cast(pl.Int64, strict=False)
    return bool(long.null_count() or long.cast(pl.Float64).cast(pl.Int64, strict=False).ne_missing(long).any())


def moments(texts: pl.Series, *, has_zone: bool = False) -> pl.Series:
    """Return moments written as ISO 8601, with a `T` or a blank; null where a text is none.

    Args:
        texts: [n] texts.
        has_zone: Whether they end in `Z` or an offset, and are wanted in UTC; else they have neither.

    Example:
        >>> moments(pl.Series(["2025-06-30 06:00:00", "2025-06-30T06:00", "x"])).dt.hour().to_list()
        [6, 6, None]
        >>> moments(pl.Series(["2025-06-30T06:00:00Z", "2025-06-30 08:00+02:00"]), has_zone=True).dt.hour().to_list()
        [6, 6]
    """
    iso = texts.str.replace(" ", "T", literal=True)
    forms: tuple[str, ...] = _MOMENTS
    if has_zone:
        iso, forms = iso.str.replace(r"Z$", "+00:00"), tuple(f"{form}%z" for form in _MOMENTS)
    made = iso.str.to_datetime(forms[0], time_unit="us", strict=False)
    # Hardly any file has the other form.
    for form in forms[1:]:
        if made.null_count() > texts.null_count():
            made = made.fill_null(iso.str.to_datetime(form, time_unit="us", strict=False))
    return made.alias(texts.name)
