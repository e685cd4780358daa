"""Imports point one way, and only assets.py files know Dagster inside the stages."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
STAGES = (
    "sources", "snapshots", "training", "base_forecasts", "reconciliation", "forecast_overrides", "stockout_risk",
    "explanations", "publication", "accuracy", "lifecycle",
)  # fmt: skip
SCIENCE = ("features", "models", "hierarchy", "metrics")
CORE = (
    "core", "contracts", "history", "ingestion", "simulation", "corrections", "scoring", "backtesting", "operations",
    "anomalies", "overrides",
)  # fmt: skip
# Tables of a DuckDB file are a source like others.
READS_DUCKDB = {"sources/databases.py"}
LOOSE = {"__init__.py", "definitions.py", "launch.py", "settings.py"}
PACKAGES = ("forecast_assets", "resources", "checks", "partitions")


def test_imports_point_one_way() -> None:
    executable = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([executable], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("folder", [*STAGES, *SCIENCE, *CORE])
def test_only_assets_files_import_dagster(folder: str) -> None:
    package = REPOSITORY / "forecast_assets"
    for path in (package / folder).rglob("*.py"):
        names = {name.split(".")[0] for name in imported(path)}
        allowed = {"duckdb"} if path.relative_to(package).as_posix() in READS_DUCKDB else set()
        if path.name != "assets.py":
            assert not names & {"dagster", "duckdb", "dagster_duckdb", "obstore"} - allowed, path


def test_every_file_has_a_room() -> None:
    assert {path.name for path in (REPOSITORY / "forecast_assets").glob("*.py")} == LOOSE
    assert {path.name for path in (REPOSITORY / "resources").glob("*.py")} == {"__init__.py"}


@pytest.mark.parametrize("folder", [stage for stage in STAGES if stage != "sources"])
def test_a_stage_is_a_plain_function_and_an_asset(folder: str) -> None:
    files = {path.name for path in (REPOSITORY / "forecast_assets" / folder).glob("*.py")}
    assert {"stage.py", "assets.py"} <= files


@pytest.mark.parametrize("folder", STAGES)
def test_stages_do_not_import_each_other(folder: str) -> None:
    shared = {"sources"}  # what observations count is decided once, for all stages
    others = {f"forecast_assets.{stage}" for stage in STAGES if stage not in {folder, *shared}}
    for path in (REPOSITORY / "forecast_assets" / folder).glob("*.py"):
        assert not {".".join(name.split(".")[:2]) for name in imported(path)} & others, path


def test_every_module_says_what_belongs_in_it() -> None:
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            assert ast.get_docstring(ast.parse(path.read_text())), path


def types_of(path: Path) -> Iterator[str]:
    """Yield the names of a module's classes and aliases of types; a TypeVar means what its one module says."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        is_variable = isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar"
        if isinstance(target, ast.Name) and re.fullmatch(r"_?[A-Z]\w*[a-z]\w*", target.id) and not is_variable:
            yield target.id


def test_a_name_of_a_class_means_one_thing() -> None:
    modules = defaultdict(list)
    for path in (path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")):
        for name in types_of(path):
            modules[name].append(str(path.relative_to(REPOSITORY)))
    assert len(modules) > 200
    assert not {name: where for name, where in modules.items() if len(where) > 1}
