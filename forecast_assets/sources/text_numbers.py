"""Numbers as texts write them: decimal comma, marks between thousands, a minus behind, parentheses.

What belongs here: which mark parts decimals, and from texts to texts that a program reads. What does not: days
(``text_days``), types of a contract (``casting``).

One text such as `1,234` can be either; a whole file hardly ever is. So all numbers of a file are looked at together,
and where even they leave it open, that is a doubt, not a number.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import polars as pl

# Blanks (narrow ones too) and apostrophes part thousands only; which of point and comma does, the decimals decide.
_BLANKS: Final = " \u00a0\u202f\u2009'\u2019"
_BOTH_COMMA: Final = r"^[\d.]*\.[\d.]*,\d*$"
_BOTH_POINT: Final = r"^[\d,]*,[\d,]*\.\d*$"
_THREE: Final = r"^[1-9]\d{{0,2}}{mark}\d{{3}}$"
_ONCE: Final = r"^\d*{mark}\d+$"
_OFTEN: Final = r"^\d{{1,3}}(?:{mark}\d{{3}}){{2,}}$"


@dataclass(frozen=True)
class DecimalMark:
    """What the numbers of a file say of their decimals.

    Attributes:
        is_comma: Whether decimals follow a comma.
        comma_doubt: Whether there are numbers such as `1,234`, and nothing says what the comma means.
        point_doubt: Likewise `1.234`.
    """

    is_comma: bool = False
    comma_doubt: bool = False
    point_doubt: bool = False


def found_decimal_mark(columns: Iterable[pl.Series]) -> DecimalMark:
    """Return which mark parts decimals in columns of texts.

    Args:
        columns: Texts of numbers, those of one file together.

    Example:
        >>> found_decimal_mark([pl.Series(["1.234", "7"]), pl.Series(["0,5"])])
        DecimalMark(is_comma=True, comma_doubt=False, point_doubt=False)
        >>> found_decimal_mark([pl.Series(["1,234"])])
        DecimalMark(is_comma=False, comma_doubt=True, point_doubt=False)
    """
    texts = [column.drop_nulls().unique() for column in columns if column.dtype == pl.String]
    if not texts:
        return DecimalMark()
    bare = pl.lit(pl.concat([text.alias("text") for text in texts])).str.replace_all(rf"[+\-()\u2212{_BLANKS}]", "")
    tests = {
        "comma": bare.str.contains(_BOTH_COMMA) | _is_decimal(bare, ",") | _is_grouped(bare, r"\."),
        "point": bare.str.contains(_BOTH_POINT) | _is_decimal(bare, r"\.") | _is_grouped(bare, ","),
        "either_comma": bare.str.contains(_THREE.format(mark=",")),
        "either_point": bare.str.contains(_THREE.format(mark=r"\.")),
    }
    counts = pl.select([test.sum().alias(name) for name, test in tests.items()]).row(0, named=True)
    is_open = not counts["comma"] and not counts["point"]
    return DecimalMark(
        counts["comma"] > counts["point"],
        comma_doubt=is_open and bool(counts["either_comma"]),
        point_doubt=is_open and bool(counts["either_point"]),
    )


def _is_decimal(bare: pl.Expr, mark: str) -> pl.Expr:
    """Whether a mark can part nothing but decimals: `1,5`, `0,125`, `1234,567`."""
    return bare.str.contains(_ONCE.format(mark=mark)) & ~bare.str.contains(_THREE.format(mark=mark))


def _is_grouped(bare: pl.Expr, mark: str) -> pl.Expr:
    """Whether a mark can part nothing but thousands: `1.234.567`."""
    return bare.str.contains(_OFTEN.format(mark=mark))


def is_doubtful(texts: pl.Series, mark: DecimalMark) -> pl.Series:
    """Return which numbers can be read in two ways, [rows] of booleans.

    Args:
        texts: [rows] numbers of one column.
        mark: What the numbers of its file say.
    """
    marks = "".join(["," * mark.comma_doubt, "." * mark.point_doubt])
    if not marks or texts.dtype != pl.String:
        return pl.Series(texts.name, [False], dtype=pl.Boolean).new_from_index(0, len(texts))
    bare = texts.str.replace_all(rf"[+\-()\u2212{_BLANKS}]", "")
    return bare.str.contains(_THREE.format(mark=f"[{marks}]")).fill_null(value=False)


def plain_numbers(texts: pl.Series, *, is_comma: bool) -> pl.Series:
    r"""Return numbers as a program writes them, `-1234.5`.

    Args:
        texts: [rows] of one column.
        is_comma: Whether decimals follow a comma, and points part thousands.

    Returns:
        [rows] texts; null where a mark stands where it parts neither decimals nor groups of three digits.

    Example:
        >>> plain_numbers(pl.Series(["1.234,5", "5-", "(2)", "3.5"]), is_comma=True).to_list()
        ['1234.5', '-5', '-2', None]
        >>> plain_numbers(pl.Series(["1,234.5", "1'234", "12\u00a0345.6"]), is_comma=False).to_list()
        ['1234.5', '1234', '12345.6']
    """
    decimal, other = (",", ".") if is_comma else (".", ",")
    text = pl.col("text").str.replace("\u2212", "-", literal=True)
    text = text.str.replace(r"^\(([^()+-]+)\)$", "-$1").str.replace(r"^([^()+-]+)-$", "-$1")
    frame = pl.DataFrame({"text": texts.str.strip_chars()}).select(text.str.strip_chars())
    for mark in (other, *_BLANKS):
        grouped = rf"^[+-]?\d{{1,3}}(?:{_escaped(mark)}\d{{3}})+(?:{_escaped(decimal)}\d*)?$"
        frame = frame.select(
            pl.when(pl.col("text").str.contains(grouped))
            .then(pl.col("text").str.replace_all(mark, "", literal=True))
            .otherwise(pl.col("text"))
            .alias("text")
        )
    left = pl.col("text").str.contains(other, literal=True)
    pointed = pl.col("text").str.replace(decimal, ".", literal=True)
    return frame.select(pl.when(~left).then(pointed)).to_series().alias(texts.name)


def _escaped(mark: str) -> str:
    return rf"\{mark}" if mark == "." else mark
