"""Text files: encodings, separators and the lines that do not fit, as Excel, ERPs and tills write them."""

import gzip
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.core.errors import InputError, SourceError
from forecast_assets.sources.text_files import SEPARATORS, TextForm, TextTable, read_text_table

NAMES = ("Artikel", "Menge", "Straße")
ROWS = [("Käse", "1,5", "Am Ölberg 3"), ("Brot", "2", "Nebenweg")]


def written(separator: str = ";", line_end: str = "\r\n") -> str:
    return line_end.join(separator.join(row) for row in (NAMES, *ROWS)) + line_end


def read(content: bytes, form: TextForm | None = None, **options: object) -> TextTable:
    return read_text_table(Path("file.csv"), form, content=content, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (written().encode(), "utf-8"),
        (written().encode("utf-8-sig"), "utf-8-sig"),
        (written().encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + written().encode("utf-16-be"), "utf-16"),
        (written().encode("utf-16-le"), "utf-16-le"),
        (written().encode("utf-16-be"), "utf-16-be"),
        (written().encode("cp1252"), "cp1252"),
        (written(line_end="\r").encode(), "utf-8"),
        (gzip.compress(written().encode("utf-16")), "utf-16"),
    ],
)
def test_every_encoding_gives_the_same_table(content: bytes, encoding: str, tmp_path: Path) -> None:
    table = read(content)
    assert (table.encoding, table.separator, table.first_row) == (encoding, ";", 2)
    assert tuple(table.frame.columns) == NAMES
    assert table.frame.rows() == ROWS
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    of_file = read_text_table(path)
    assert of_file.frame.equals(table.frame)
    assert of_file.encoding == encoding


def test_an_encoding_that_is_said_counts_and_one_that_does_not_fit_is_named() -> None:
    content = written().encode("cp1250")
    assert read(content, TextForm(encoding="Windows-1250")).frame.rows() == ROWS
    with pytest.raises(SourceError, match=r"is not UTF-16: byte .* Say its `encoding`"):
        read(b"\xff\xfe\x00a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"cannot be read as CSV.*UTF-8.*say `separator` or `encoding`"):
        read(content, TextForm(encoding="utf-8"))


def test_a_byte_that_no_encoding_has_is_named_with_its_place() -> None:
    with pytest.raises(SourceError, match="is not Windows-1252: byte 5 says nothing in it"):
        read(b"a;b\n\x81;\xe4\n")


def test_a_file_that_turns_out_not_to_be_utf_8_far_behind_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 2_000_000 + "Käse,3\n".encode("cp1252"))
    table = read_text_table(path)
    assert (table.encoding, table.frame.height) == ("cp1252", 2_000_001)
    assert table.frame.row(-1) == ("Käse", "3")


@pytest.mark.parametrize("separator", SEPARATORS)
def test_the_separator_is_found_and_may_be_said_in_the_first_line(separator: str) -> None:
    plain = read(written(separator).replace("1,5", "1.5").encode())
    assert (plain.separator, plain.frame.width) == (separator, 3)
    excel = read(f"sep={separator}\r\n{written(separator).replace('1,5', '1.5')}".encode("utf-16"))
    assert excel.frame.equals(plain.frame)
    assert (excel.separator, excel.first_row) == (separator, 3)


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("day;qty, pieces;note\n1;2;a, b, c\n", ";"),
        ("day,qty;unit\n1,2\n3,4\n", ","),
        ('"a,b";c\n"1,2";3\n', ";"),
        ("day\n2025-06-30\n", ","),
        ("a,b\n1,2\n", ","),
    ],
)
def test_the_separator_parts_the_lines_as_the_line_of_names(text: str, separator: str) -> None:
    assert read(text.encode()).separator == separator


def test_a_separator_that_is_said_counts() -> None:
    assert read(b"a;b,c\n1;2,3\n", TextForm(separator=",")).frame.columns == ["a;b", "c"]


@given(
    st.sampled_from(SEPARATORS),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
    st.lists(
        st.tuples(
            *[st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Cs"]), min_size=1)] * 2
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_what_is_written_is_read(separator: str, encoding: str, rows: list[tuple[str, str]]) -> None:
    text = pl.DataFrame(rows, schema=["first", "second"], orient="row").write_csv(
        separator=separator, quote_style="always"
    )
    form = TextForm(encoding=encoding, separator=separator)
    assert read(text.encode(encoding), form).frame.rows() == rows


def test_lines_with_too_many_fields_are_named_and_the_separator_is_spoken_of() -> None:
    lines = ["a;b", *(["1;2"] * 3), *(["1;2;3"] * 12)]
    with pytest.raises(SourceError) as caught:
        read("\n".join(lines).encode())
    said = str(caught.value)
    assert "fields parted by `;`, the line of names has 2 and line 5 has 3, line 6 has 3" in said
    assert "line 14 has 3 and 2 lines more" in said
    assert "say `separator` or `encoding`" in said


def test_empty_lines_at_the_end_are_no_rows_and_those_between_stay_in_place() -> None:
    assert read(b"a;b\n1;2\n;\n3;4\n;\n;\n\n").frame.rows() == [("1", "2"), (None, None), ("3", "4")]
    assert read(b"a;b\n;\n").frame.is_empty()


def test_columns_that_are_not_wanted_are_left_out_and_a_wanted_one_comes_once() -> None:
    assert read(b"a,b,b\n1,2,3\n", wanted=["a"]).frame.columns == ["a"]
    with pytest.raises(SourceError, match="columns of the same name: b"):
        read(b"a,b,b\n1,2,3\n", wanted=["b"])


def test_a_file_that_is_not_there_or_cut_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none.csv cannot be read: No such file"):
        read_text_table(tmp_path / "none.csv")
    with pytest.raises(SourceError, match=r"cannot be read: .*copy it again if it is cut short"):
        read(gzip.compress(written().encode())[:-12])


@pytest.mark.parametrize(
    ("encoding", "separator", "words"), [("base64", None, "no encoding of texts"), (None, ";;", "cannot part fields")]
)
def test_what_is_asked_for_has_to_exist(encoding: str | None, separator: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TextForm.asked(encoding, separator)
