"""The documents say what is true: links, commands, settings, errors, requirements and the picture of the graph."""

import re
import shlex
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
import yaml

from forecast_assets.cli import DEFECT, INTERRUPTED, cli
from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.cli.reference import cli_markdown
from forecast_assets.contracts import PUBLISHED
from forecast_assets.core import errors
from forecast_assets.core.keys import RunKey
from forecast_assets.presentation.documentation import products_markdown
from forecast_assets.settings import Settings
from resources.ledger.entries import EntryKind
from resources.orchestration.dagster_resources import RunResource
from resources.stores.home import Stores
from tests.resources.catalogue.test_catalogue import build, publish

REPOSITORY = Path(__file__).parent.parent
README = REPOSITORY / "README.md"
ARCHITECTURE = REPOSITORY / "docs/architecture.md"
DOCUMENTS = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]
REQUIREMENTS = [
    f"{area}{number}"
    for area, count in zip("ABCDEFGHI", (10, 7, 8, 5, 10, 3, 3, 5, 4), strict=True)
    for number in range(1, count + 1)
]
VARIABLES = {
    *(f"FORECAST_ASSETS_{name.upper()}" for name in Settings.model_fields),
    *(f"FORECAST_ASSETS_{name}" for name in ("DEBUG", "DATA", "TEST_DATA")),
}


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def anchors(text: str) -> set[str]:
    """What GitHub makes of headings."""
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text()), target


def command_lines() -> Iterator[str]:
    for document in DOCUMENTS:
        for block in blocks(document.read_text(), "sh"):
            lines = (line.strip() for line in block.replace("\\\n", " ").splitlines())
            yield from (line for line in lines if line.startswith("forecast-assets "))


def parse(arguments: list[str]) -> click.Context:
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    return command.make_context(command.name, arguments)


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_every_command_line_parses(line: str) -> None:
    command, _, _ = line.partition(" > ")
    words = shlex.split(command.replace("$day", "2025-06-30"), comments=True)
    assert parse(words[1:]).command.callback


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_commands_targets_and_settings_named_in_passing_exist(document: Path) -> None:
    text = document.read_text()
    for name in re.findall(r"`forecast-assets ([a-z][a-z-]*)", text):
        assert name in cli.commands
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", text, flags=re.MULTILINE)) <= targets
    assert set(re.findall(r"FORECAST_ASSETS_[A-Z_]+[A-Z]", text)) <= VARIABLES


def test_the_reference_of_products_is_the_contracts() -> None:
    text = (REPOSITORY / "docs/products.md").read_text()
    assert text == products_markdown(), "python -m forecast_assets.presentation.documentation > docs/products.md"


@pytest.mark.parametrize("width", ["20", "200"])
def test_the_reference_of_commands_is_the_commands(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    text = (REPOSITORY / "docs/cli.md").read_text()
    assert text == cli_markdown(), "python -m forecast_assets.cli.reference > docs/cli.md"
    assert not re.findall(r"^\| `--.*\|  \|$", text, re.MULTILINE), "every option has a help"


def rows(path: Path, columns: int) -> list[list[str]]:
    tables = [line for line in path.read_text().splitlines() if line.startswith("| ")]
    split = [re.split(r"\s*\|\s*", line)[1:-1] for line in tables]
    return [cells for cells in split if len(cells) == columns]


REQUIREMENTS_PAGE = REPOSITORY / "docs/requirements.md"


def requirement_states() -> dict[str, str]:
    return {row[0]: row[2] for row in rows(REQUIREMENTS_PAGE, 4) if row[0]}


def proofs() -> dict[str, list[str]]:
    """What shows each requirement, from the list at the end of the page."""
    _, listed = REQUIREMENTS_PAGE.read_text().split("## Shown by")
    found: dict[str, list[str]] = {}
    for line in listed.splitlines():
        if line.startswith("- "):
            found[line.removeprefix("- ")] = shown = []
        elif line.startswith("  - "):
            shown.append(line.removeprefix("  - ").strip("`"))
    return found


def test_every_requirement_has_its_row_and_state() -> None:
    found = requirement_states()
    assert list(found) == REQUIREMENTS
    assert set(found.values()) <= {"works", "partly", "not yet"}
    assert [requirement for requirement in REQUIREMENTS if requirement in proofs()] == list(proofs())


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_what_is_said_to_work_names_tests_that_exist(requirement: str) -> None:
    shown = proofs().get(requirement, [])
    assert bool(shown) == (requirement_states()[requirement] != "not yet")
    for proof in shown:
        if proof.startswith("make "):
            continue
        path, _, test = proof.partition("::")
        assert f"\ndef {test}(" in (REPOSITORY / path).read_text(), proof


def test_every_fault_of_the_service_names_a_test_that_exists() -> None:
    faults = rows(REQUIREMENTS_PAGE, 2)
    assert len(faults) >= 14
    for _, what in faults[1:]:
        path, _, test = what.rpartition(": ")[2].strip("`").partition("::")
        assert f"\ndef {test}(" in (REPOSITORY / path).read_text(), what


def families() -> list[type[errors.ForecastAssetsError]]:
    found: list[type[errors.ForecastAssetsError]] = [errors.ForecastAssetsError]
    for family in found:
        found += family.__subclasses__()
    return [family for family in found if family.__module__ == errors.__name__]


def test_an_operator_finds_every_error_and_every_exit_code() -> None:
    operating = (REPOSITORY / "docs/operating.md").read_text()
    for family in families():
        assert f"| `{family.__name__}` |" in operating
    codes = {0, DEFECT, INTERRUPTED, *(exit_code(family) for family in families())}
    assert {int(row[0]) for row in rows(REPOSITORY / "docs/operating.md", 4) if row[0].isdigit()} == codes
    (told,) = re.findall(r"^Exit codes: (.*?)\n\n", (REPOSITORY / "docs/cli.md").read_text(), re.MULTILINE | re.DOTALL)
    assert {int(code) for code in re.findall(r"(?:^|,\s)(\d+)\s", told)} == codes - {1}


def test_an_operator_finds_every_setting() -> None:
    told = {row[0] for row in rows(REPOSITORY / "docs/operating.md", 3)}
    assert {row for row in told if row.startswith("`FORECAST_ASSETS_")} == {
        f"`FORECAST_ASSETS_{name.upper()}`" for name in Settings.model_fields
    }


def test_decisions_are_listed_and_complete() -> None:
    folder = REPOSITORY / "docs/adr"
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        assert page.name in (folder / "README.md").read_text()
        assert text.startswith(f"# {page.name[:4]}: ")
        headings = re.findall(r"^(?:\*\*|## )(\w+)", text, flags=re.MULTILINE)
        assert headings == ["Status", "Context", "Decision", "Consequences"], page.name


def drawn_edges() -> set[tuple[str, str]]:
    assets, _ = blocks(ARCHITECTURE.read_text(), "mermaid")
    edges = set()
    for line in assets.splitlines()[1:]:
        names = [re.sub(r"\[.*\]", "", node).strip() for node in re.split(r"-->|-\.->", line)]
        edges |= set(pairwise(names))
    return edges


def test_the_picture_is_the_asset_graph(tmp_path: Path) -> None:
    from forecast_assets.definitions import build_defs

    graph = build_defs(settings=Settings(home=tmp_path)).resolve_asset_graph()
    actual = {
        (parent.path[0] if parent.path[0] == "observations" else parent.path[-1], key.path[-1])
        for key in graph.get_all_asset_keys()
        for parent in graph.get(key).parent_keys
    }
    assert drawn_edges() == actual | {("published_predictions", "views")}


def test_every_room_is_described() -> None:
    described = ARCHITECTURE.read_text()
    for package in ("forecast_assets", "resources"):
        prefix = "" if package == "forecast_assets" else f"{package}/"
        for module in (REPOSITORY / package).glob("*/__init__.py"):
            assert f"| `{prefix}{module.parent.name}` |" in described


def published_and_built(stores: Stores, folder: Path) -> Path:
    publish(stores, RunKey("daily", date(2025, 6, 30), "stat-1", 28))
    return build(stores, folder / "var/catalogue").parent / "catalogue.duckdb"


def test_the_query_of_the_readme_runs(stores: Stores, tmp_path: Path) -> None:
    (query,) = blocks(README.read_text(), "sql")
    with duckdb.connect(published_and_built(stores, tmp_path), read_only=True) as connection:
        assert connection.sql(query).fetchall() == [("S", 56, 42)]


def test_the_queries_of_the_documents_run(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    published_and_built(stores, tmp_path)
    monkeypatch.chdir(tmp_path)
    by_duckdb, by_sqlalchemy, as_frames, for_excel = blocks((REPOSITORY / "docs/querying.md").read_text(), "python")
    run(by_duckdb)
    assert "0.250000" in capfd.readouterr().out
    names = run(by_sqlalchemy)
    names["engine"].dispose()
    assert [float(row.forecast_units) for row in names["total"]] == [8.0] * 7
    names = run(as_frames)
    lost = names["polars_frame"]["lost_units"].to_list()
    assert all(isinstance(units, Decimal) for units in lost)
    assert names["pandas_frame"]["lost_units"].tolist() == [float(units) for units in lost] != []
    run(for_excel)
    header, first, *_ = Path("excel.csv").read_text("utf-8-sig").splitlines()
    assert header == "store_id;sku_id;target_date;forecast_units"
    assert first == "S;A;2025-01-02;4,000000"


def test_the_query_of_the_text_for_r_gives_what_the_contents_of_the_view_add_up_to(
    stores: Stores, tmp_path: Path
) -> None:
    (text,) = blocks((REPOSITORY / "docs/querying.md").read_text(), "r")
    (quoted,) = re.findall(r'dbGetQuery\(catalogue, "(.*)"\)', text, re.DOTALL)
    with duckdb.connect(published_and_built(stores, tmp_path), read_only=True) as connection:
        found = connection.sql(quoted.replace('\\"', '"')).fetchall()
        rows = connection.sql('SELECT store_id, forecast_units FROM "stat-1".forecasts').fetchall()
    assert found == [(store, sum(units for own, units in rows if own == store)) for store in sorted(dict(rows))] != []


def test_what_the_readme_shows_of_the_demonstration_is_of_the_whole_of_it() -> None:
    whole = (REPOSITORY / "docs/tour.md").read_text()
    _, demonstration = whole.split("<!-- demo output -->")
    told, _ = demonstration.split("<!-- end of demo output -->")
    lines = {line.rstrip() for line in told.splitlines()}
    shown, explained, queried = blocks(README.read_text(), "text")
    assert {line.rstrip() for line in (shown + queried).splitlines()} - {"..."} <= lines
    assert all(product in shown for product in PUBLISHED)
    assert explained.split("; ...")[0] in whole


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_the_batch_of_ones_own_data_is_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", "")
    (source,) = blocks((REPOSITORY / "docs/sources.md").read_text(), "python")
    (added,) = run(source)["report"].added
    assert (added.feed, added.source, added.rows) == ("sales", "till", 2)


def run(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(source, "document", "exec"), names)  # noqa: S102
    return names


def test_the_correction_that_the_ui_is_given_is_one_that_it_takes() -> None:
    (text,) = re.findall(r"```yaml\n(resources:.*?)```", (REPOSITORY / "docs/operating.md").read_text(), re.DOTALL)
    config = yaml.safe_load(text)["resources"]["run"]["config"]
    asked = RunResource(**config).correction_request
    assert asked is not None
    assert (asked.by, asked.known_until.isoformat()) == ("ana", "2025-06-29T06:00:00+00:00")
    assert RunKey.parse(config["key"]).revision == 1


def test_the_steps_of_adding_a_kind_name_what_a_kind_has() -> None:
    page = (REPOSITORY / "docs/architecture.md").read_text()
    section = page.split("## Add a kind of ledger entry")[1].split("\n## ")[0]
    asked = {name for name in vars(EntryKind) if not name.startswith("_")} | set(EntryKind.__annotations__)
    assert {name for name in asked if f"`{name}`" not in section} == set()
    steps = re.findall(r"^\d+\. \*\*.*?\*\* in `(\w+)`", section, re.MULTILINE)
    assert len(steps) >= 4
    assert set(steps) <= asked
