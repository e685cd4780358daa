"""The guide from one's own files to a first run: its commands work, and its mappings do what it says on its files."""

import re
import shlex
from datetime import date
from pathlib import Path

import duckdb
import pytest

from forecast_assets.ingestion.batch import Batch
from forecast_assets.sources.table_mapping import read_mapping
from forecast_assets.sources.tables import read_tables
from tests.support.brief_runs import make_brief
from tests.support.command import caller
from tests.support.intake_cases import findings_of
from tests.support.shop_files import write_shop
from tests.test_docs import REPOSITORY, blocks

GUIDE = (REPOSITORY / "docs/your-data.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL))


def words_of(line: str) -> list[str]:
    """The words of a command line as a shell hands them over, with `*` for the files that are there."""
    words = shlex.split(line, comments=True)
    return [found for word in words for found in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]


def test_the_ten_minutes_lead_from_files_to_a_published_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_brief(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    write_shop(tmp_path)
    call, said = caller(monkeypatch, capsys), {}
    lines = [line for block in blocks(SECTIONS["Ten minutes"], "sh") for line in block.splitlines()]
    for line in lines:
        command, _, target = line.partition(" > ")
        code, said[line] = call(*words_of(command)[1:])
        assert code == 0, said[line]
        if target:
            Path(target).write_text(said[line])
    shown = blocks(SECTIONS["Ten minutes"], "text")[1].splitlines()
    guessed = said[lines[0]].splitlines()
    assert all(any(real.startswith(line.removesuffix("...").rstrip()) for real in guessed) for line in shown)
    (run,) = [text for line, text in said.items() if line.startswith("forecast-assets run ")]
    assert "Published daily/2025-06-30/shop-1/28/r0" in run
    # The next night's file is taken in by the same command.
    (tmp_path / "kasse_2025-07.csv").write_text("Datum;Filiale;Artikelnummer;Menge\n01.07.2025;001;4701;3,0\n")
    code, again = call("ingest", "table", "--mapping", "mapping.toml")
    assert code == 0
    assert re.search(r"new +sales +till +1 +2025-07-01", again)


def taken_in(section: str, folder: Path) -> Batch:
    """What the mapping of a section makes of the file that it shows."""
    (mapping,) = blocks(SECTIONS[section], "toml")
    (folder / "mapping.toml").write_text(mapping)
    (table,) = read_mapping(folder / "mapping.toml").feed
    for content in blocks(SECTIONS[section], "csv"):
        (folder / str(table.file)).write_text(content)
    for statement in blocks(SECTIONS[section], "sql"):
        with duckdb.connect(str(folder / str(table.database))) as connection:
            connection.execute(statement)
    (batch,) = read_tables(folder / "mapping.toml")
    return batch


MEANT = {
    "A till's export": [("MILCH-1L", "S1", date(2025, 6, 28), 3.0), ("TEE-20", "S1", date(2025, 6, 28), 1.0),
                        ("MILCH-1L", "S1", date(2025, 6, 30), 3.0)],
    "An ERP's export": [("4711", "0010", date(2025, 6, 28), 12.0), ("4711", "0010", date(2025, 6, 29), 8.25)],
    "A spreadsheet": [("Rice 5kg", "S1", date(2025, 6, 28), 1204.0), ("Rice 5kg", "S1", date(2025, 6, 29), 980.0),
                      ("Rice 5kg", "S1", date(2025, 6, 30), 1011.0)],
    "A warehouse table": [("MILK-1L", "S1", date(2025, 6, 29), 12.0), ("MILK-1L", "S1", date(2025, 6, 30), 9.5)],
}  # fmt: skip


@pytest.mark.parametrize("section", MEANT)
def test_the_mapping_of_each_source_does_what_it_says_on_the_file_that_is_shown(section: str, tmp_path: Path) -> None:
    batch = taken_in(section, tmp_path)
    assert batch.frame.select("sku_id", "store_id", "event_date", "sales_units").rows() == MEANT[section]
    assert [each.kind for each in findings_of(batch) if each.kind != "line sums"] == []


def test_what_the_till_is_told_of_its_lines_is_what_is_said(tmp_path: Path) -> None:
    (told,) = re.findall(r"`(\d+ lines summed.*?)`", GUIDE)
    assert [each.message for each in findings_of(taken_in("A till's export", tmp_path))] == [told]


def test_the_six_questions_are_six() -> None:
    assert len(re.findall(r"^\| \*\*.*\?\*\* \|", SECTIONS["Six questions"], re.MULTILINE)) == 6
