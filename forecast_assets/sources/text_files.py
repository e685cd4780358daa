"""Text files of tables as people and programs save them: which encoding, and which mark parts the fields.

What belongs here: from bytes to a table of texts, and how the bytes were understood. What does not: what a text means
(``text_numbers``, ``text_days``), or which column is which (``table_mapping``).

What nobody says is found out, and what was found can be told:

- Encoding: a byte order mark decides; without one, zero bytes at every other place mean UTF-16; else it is UTF-8, or
  Windows-1252 where the bytes are no UTF-8, which is worth a word.
- Separator: a first line `sep=;` decides, as Excel writes it; else the mark of `,`, `;`, tab and `|` that parts the
  line of names into the same number of fields as the lines after it.
"""

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import polars as pl
import polars.selectors as cs

from forecast_assets.core.errors import FIRST, InputError, SourceError, first_line, first_ten
from forecast_assets.sources.files import require_single

SEPARATORS: Final = (",", ";", "\t", "|")
LAST_RESORT: Final = "cp1252"

_UTF8: Final = "utf-8"
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_GZIP: Final = b"\x1f\x8b"
_SAMPLE_BYTES: Final = 1 << 18
_SAMPLE_LINES: Final = 200
_CHUNK_BYTES: Final = 1 << 22
_EXCEL_LINE: Final = "sep="
# Columns without a name, after a separator at the end of a line, as Polars tells them apart.
_UNNAMED: Final = r"_duplicated_\d+"
_NAMES: Final = {",": "`,`", ";": "`;`", "\t": "a tab", "|": "`|`"}
_WORDS: Final = {LAST_RESORT: "Windows-1252", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}


@dataclass(frozen=True)
class TextForm:
    """What somebody says of a text file; what is None is found out.

    Attributes:
        encoding: As Python names it, for example `cp1252`.
        separator: Between fields, one character.
    """

    encoding: str | None = None
    separator: str | None = None

    @classmethod
    def asked(cls, encoding: str | None, separator: str | None) -> "TextForm":
        r"""Return what somebody typed, with `tab` or `\t` for a tab.

        Raises:
            InputError: If there is no such encoding, or that cannot part fields.

        Example:
            >>> TextForm.asked("cp1252", "tab")
            TextForm(encoding='cp1252', separator='\t')
        """
        mark = "\t" if separator in {"tab", "\\t"} else separator
        if encoding is not None and not is_text_encoding(encoding):
            raise InputError(f"`{encoding}` is no encoding of texts.", remedy="Use utf-8, utf-16, cp1252 or the like.")
        if mark is not None and not is_separator(mark):
            raise InputError(f"`{separator}` cannot part fields.", remedy='Use one character, such as ";", or tab.')
        return cls(encoding, mark)


@dataclass(frozen=True)
class TextTable:
    """A table of texts, and how its bytes were understood.

    Attributes:
        frame: The columns as text; null where a field is empty. Empty lines at the end are left out.
        encoding: As Python names it.
        separator: Between fields.
        first_row: Number of the line with the first row, counted from 1.
    """

    frame: pl.DataFrame
    encoding: str
    separator: str
    first_row: int


@dataclass(frozen=True)
class _Opened:
    """Bytes that Polars can read as UTF-8, and the first lines of them."""

    source: Path | io.BytesIO
    encoding: str
    lines: Sequence[str]


@dataclass(frozen=True)
class TextScan:
    """A text file that is open and not yet read, and how its bytes are understood.

    Attributes:
        path: The file.
        columns: That are read and have a name.
        encoding: As Python names it.
        separator: Between fields.
        first_row: Number of the line with the first row, counted from 1.
        unnamed: That are read and have none, as Polars names them.
    """

    path: Path
    columns: Sequence[str]
    encoding: str
    separator: str
    first_row: int
    unnamed: Sequence[str]
    _rows: pl.LazyFrame
    _opened: _Opened
    _has_mark: bool

    def read(self) -> pl.DataFrame:
        """Return all rows, as texts; null where a field is empty.

        Raises:
            SourceError: If lines have more fields than there are names.
        """
        with _even(self.path, self._opened, self.separator, self._has_mark):
            return self._rows.collect()

    def parts(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Yield the rows a part after the other, without empty lines at the end.

        Args:
            rows: About so many at a time.
            columns: That are read; all if None.

        Raises:
            SourceError: As `read`.
        """
        held: list[pl.DataFrame] = []
        with _even(self.path, self._opened, self.separator, self._has_mark):
            read = self._rows if columns is None else self._rows.select(cs.by_name(columns))
            for part in read.collect_batches(chunk_size=rows):
                said = _without_empty_end(part)
                if said.height:
                    yield from held
                    yield said
                    held = []
                if said.height < part.height:
                    held.append(part.slice(said.height))


def read_text_table(
    path: Path, form: TextForm | None = None, *, wanted: Sequence[str] | None = None, content: bytes | None = None
) -> TextTable:
    r"""Read a text file with a line of column names.

    Args:
        path: The file; packed with gzip or not.
        form: What is known of it.
        wanted: Columns to read, as far as there are any of them; all if None.
        content: Its bytes, where they were read already.

    Raises:
        SourceError: If it cannot be read, or its lines have different numbers of fields, or one of the columns that are
            read comes twice.

    Example:
        >>> table = read_text_table(Path("a.csv"), content=b"sep=;\r\nday;qty\r\n30.06.2025;1,5\r\n")
        >>> table.separator, table.first_row, table.frame.rows()
        (';', 3, [('30.06.2025', '1,5')])
    """
    with _readable(path):
        scan = scan_text_table(path, form, content=content, wanted=wanted)
        return TextTable(_without_empty_end(scan.read()), scan.encoding, scan.separator, scan.first_row)


def scan_text_table(
    path: Path,
    form: TextForm | None = None,
    *,
    wanted: Sequence[str] | None = None,
    content: bytes | None = None,
    keeps_unnamed: bool = False,
) -> "TextScan":
    r"""Open a text file with a line of column names, to read it at once or a part after the other.

    Args:
        path: The file; packed with gzip or not.
        form: What is known of it.
        wanted: Columns to read, as far as there are any of them; all if None.
        content: Its bytes, where they were read already.
        keeps_unnamed: Whether columns without a name are read too, if `wanted` is None.

    Raises:
        SourceError: As `read_text_table`.

    Example:
        >>> scan = scan_text_table(Path("a.csv"), content=b"day;qty\r\n30.06.2025;1,5\r\n")
        >>> scan.columns, [part.height for part in scan.parts(1000)]
        (['day', 'qty'], [1])
    """
    asked = form or TextForm()
    with _readable(path):
        opened = _opened(path, content, asked.encoding and codecs.lookup(asked.encoding).name)
        return _scan(path, opened, asked.separator, wanted, keeps_unnamed=keeps_unnamed)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError) as error:
        raise SourceError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.",
            remedy="Give a file that is there, and that you may read; copy it again if it is cut short.",
        ) from error


def is_text_encoding(name: str) -> bool:
    """Whether a name is that of an encoding of texts.

    Example:
        >>> is_text_encoding("Windows-1252"), is_text_encoding("base64"), is_text_encoding("none")
        (True, False, False)
    """
    try:
        b"a".decode(name)
    except (LookupError, UnicodeError):
        with suppress(LookupError):
            return codecs.lookup(name).name.startswith("utf-")
        return False
    return True


def is_separator(mark: str) -> bool:
    r"""Whether a mark can part fields: one printable ASCII character but the quote, or a tab.

    Example:
        >>> is_separator(";"), is_separator("\t"), is_separator('"'), is_separator("§")
        (True, True, False, False)
    """
    return mark == "\t" or (len(mark) == 1 and mark.isascii() and mark.isprintable() and mark != '"')


def encoding_name(encoding: str) -> str:
    """Return what people call an encoding.

    Example:
        >>> encoding_name("cp1252"), encoding_name("utf-8-sig")
        ('Windows-1252', 'UTF-8')
    """
    return _WORDS.get(encoding, encoding.upper().removesuffix("-SIG"))


def separator_name(separator: str) -> str:
    r"""Return a separator as a sentence has it.

    Example:
        >>> separator_name(";"), separator_name("\t")
        ('`;`', 'a tab')
    """
    return _NAMES.get(separator, f"`{separator}`")


def found_encoding(content: bytes) -> str:
    """Return the encoding of the first bytes of a text: a byte order mark's, UTF-16 by its zero bytes, or UTF-8.

    Example:
        >>> found_encoding("a;b".encode("utf-16")), found_encoding("a;b".encode("utf-16-be")), found_encoding(b"a;b")
        ('utf-16', 'utf-16-be', 'utf-8')
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    sample = content[: _SAMPLE_BYTES // 2 * 2]
    low, high = sample[::2].count(0), sample[1::2].count(0)
    # Texts of tables are ASCII for the most part: digits, separators, line ends.
    if max(low, high) * 4 > len(sample):
        return "utf-16-be" if low > high else "utf-16-le"
    return _UTF8


def found_separator(lines: Sequence[str]) -> str:
    """Return the mark that parts the most lines as it parts the line of names, the comma if none does.

    Example:
        >>> found_separator(["day;qty", "30.06.2025;1,5"]), found_separator(["day,a;b", "1,2"])
        (';', ',')
    """
    fits: dict[str, tuple[float, int]] = {}
    for mark in SEPARATORS:
        widths = [len(fields) for fields in _fields(lines, mark)]
        if widths and widths[0] > 1:
            fits[mark] = (widths.count(widths[0]) / len(widths), widths[0])
    return max(fits, key=fits.__getitem__, default=SEPARATORS[0])


def _opened(path: Path, content: bytes | None, encoding: str | None) -> _Opened:
    sample = content if content is not None else _first_bytes(path, _SAMPLE_BYTES)
    is_packed = sample.startswith(_GZIP)
    if content is None and (is_packed or encoding not in {None, _UTF8}):
        content = path.read_bytes()
    if is_packed and content is not None:
        content = sample = gzip.decompress(content)
    found = encoding or found_encoding(sample)
    if found == _UTF8 and not (b"\r" in sample and b"\n" not in sample):
        if encoding is not None or _is_utf8(path, content):
            source = path if content is None else io.BytesIO(content)
            return _Opened(source, found, _lines(sample[:_SAMPLE_BYTES].decode(_UTF8, errors="replace")))
        found = LAST_RESORT
    return _decoded(path, path.read_bytes() if content is None else content, found)


def _first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _is_utf8(path: Path, content: bytes | None) -> bool:
    """Whether all of a file is UTF-8; read in pieces, since files may be large."""
    decoder = codecs.getincrementaldecoder(_UTF8)()
    try:
        for piece in _pieces(path) if content is None else (content,):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            yield piece


def _decoded(path: Path, content: bytes, encoding: str) -> _Opened:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is not {encoding_name(encoding)}: byte {error.start + 1:,} says nothing in it.",
            remedy="Say its `encoding`, such as utf-8, utf-16 or cp1250; or save it as UTF-8.",
        ) from error
    if "\n" not in text:
        # Old Excel on a Mac ends lines with a carriage return alone.
        text = text.replace("\r", "\n")
    return _Opened(io.BytesIO(text.removeprefix("\ufeff").encode()), encoding, _lines(text[:_SAMPLE_BYTES]))


def _lines(text: str) -> list[str]:
    """Return the first lines of a text; the last one may be cut off, and does not count if there are others."""
    lines = text.removeprefix("\ufeff").splitlines()[: _SAMPLE_LINES + 1]
    return lines[:-1] if len(lines) > _SAMPLE_LINES else lines


def _scan(
    path: Path, opened: _Opened, separator: str | None, wanted: Sequence[str] | None, *, keeps_unnamed: bool
) -> "TextScan":
    has_mark = bool(opened.lines) and opened.lines[0].lower().startswith(_EXCEL_LINE)
    named = opened.lines[0][len(_EXCEL_LINE) : len(_EXCEL_LINE) + 1] if has_mark else ""
    mark = separator or named or found_separator([line for line in opened.lines[has_mark:] if line.strip()])
    with _even(path, opened, mark, has_mark):
        rows = pl.scan_csv(opened.source, separator=mark, infer_schema=False, glob=False, skip_lines=int(has_mark))
        found = rows.collect_schema().names()
    present = [name for name in found if name and not re.fullmatch(_UNNAMED, name)]
    require_single(path, present, wanted)
    kept = present if wanted is None else [name for name in present if name in set(wanted)]
    unnamed = [name for name in found if name not in present] if keeps_unnamed and wanted is None else []
    # By name, since Polars takes `*` and what stands between `^` and `$` for patterns.
    read = [name for name in found if name in {*kept, *unnamed}]
    chosen = rows.select(cs.by_name(read) if read else cs.all())
    return TextScan(path, kept, opened.encoding, mark, 2 + has_mark, unnamed, chosen, opened, has_mark)


@contextmanager
def _even(path: Path, opened: _Opened, mark: str, has_mark: bool) -> Iterator[None]:
    try:
        yield
    except pl.exceptions.PolarsError as error:
        raise _unreadable(path, opened, mark, has_mark, first_line(error)) from error


def _without_empty_end(frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out empty lines at the end, which spreadsheets save with the rest; rows before them keep their numbers."""
    if frame.is_empty() or any(value is not None for value in frame.row(-1)):
        return frame
    is_said = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    said = is_said.arg_true()
    return frame.head(said[-1] + 1 if len(said) else 0)


def _unreadable(path: Path, opened: _Opened, mark: str, has_mark: bool, reason: str) -> SourceError:
    """Return an error that names the lines whose number of fields is not that of the line of names."""
    uneven = _uneven(opened, mark, has_mark)
    parted = f"fields parted by {separator_name(mark)}"
    why = f"{parted}, {uneven}" if uneven else f"{reason} ({parted}, {encoding_name(opened.encoding)})"
    return SourceError(
        f"{path} cannot be read as CSV: {why}.",
        remedy="It needs a line of column names, and the same number of fields in each line; a field with the "
        "separator in it stands between quotes. If another mark parts the fields, or it is written in another "
        "encoding, say `separator` or `encoding`.",
    )


def _uneven(opened: _Opened, mark: str, has_mark: bool) -> str:
    source = opened.source
    text = io.TextIOWrapper(
        io.BytesIO(source.getvalue()) if isinstance(source, io.BytesIO) else source.open("rb"),
        encoding=_UTF8,
        errors="replace",
        newline="",
    )
    with text:
        rows = _fields(islice(text, int(has_mark), None), mark)
        names = next(rows, [])
        wrong = [(at, len(fields)) for at, fields in enumerate(rows, start=2 + has_mark) if len(fields) > len(names)]
    if not wrong:
        return ""
    shown = first_ten(f"line {at} has {width}" for at, width in wrong[: FIRST + 1][:FIRST])
    more = f" and {len(wrong) - FIRST:,} lines more" if len(wrong) > FIRST else ""
    return f"the line of names has {len(names)} and {shown}{more}"


def _fields(lines: Sequence[str] | Iterator[str], mark: str) -> Iterator[list[str]]:
    reader = csv.reader(lines, delimiter=mark)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            # A field of megabytes, after a stray quote; what else is wrong with the file, the caller says.
            return
