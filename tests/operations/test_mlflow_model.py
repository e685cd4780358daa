"""What `mlflow.pyfunc.load_model` gives is what was published, by this installation, on this home."""

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from forecast_assets.contracts import FORECAST_EXPLANATIONS, FORECASTS, STOCKOUT_RISKS
from forecast_assets.core.errors import (
    ChangedFileError,
    ForecastAssetsError,
    HorizonError,
    InputError,
    NotStagedError,
    UnknownVersionError,
)
from forecast_assets.launch import Runner
from forecast_assets.operations.mirroring import mirror_place
from forecast_assets.operations.use_cases import RunOutcome
from resources.mlflow.model_folder import model_files
from tests.support.mirrors import client, mirrored
from tests.support.retailers import KEY, RETAILER, copied

PARTS = (FORECASTS, STOCKOUT_RISKS, FORECAST_EXPLANATIONS)
COLUMNS = ["store_id", "sku_id", "prediction_date", "horizon"]
END = RETAILER.end.isoformat()


@pytest.fixture(scope="module")
def home(published: tuple[Runner, RunOutcome], tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A home with a published run, mirrored."""
    runner = copied(published[0], tmp_path_factory.mktemp("served") / "home")
    mirrored(runner)
    return runner


@pytest.fixture
def served(home: Runner, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The version as somebody loads it who knows MLflow and where the home is."""
    lead_to(home, monkeypatch)
    return loaded(home, "models:/forecast-assets/1")


def lead_to(home: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(home.settings.home))
    monkeypatch.setenv("FORECAST_ASSETS_WORKERS", "1")


def loaded(home: Runner, uri: str) -> Any:
    with warnings.catch_warnings():
        # MLflow warns of type hints of its own when it is loaded.
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        mlflow.set_tracking_uri(mirror_place(home.settings).uri)
        return mlflow.pyfunc.load_model(uri)


def published_rows(home: Runner) -> pl.DataFrame:
    """The published row's columns, by another way: every product read and joined as SQL would."""
    publication = home.stores.predictions.publication(KEY)
    store = home.stores.predictions
    frames = [store.read(store.version(publication.products[part.name])) for part in PARTS]
    joined = frames[0]
    for frame, part in zip(frames[1:], PARTS[1:], strict=True):
        joined = joined.join(frame, on=list(part.key), how="inner", suffix=f":{part.name}")
    return joined.select(name for name in joined.columns if ":" not in name)


def asked(*rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def test_a_loaded_model_gives_the_published_rows(home: Runner, served: Any) -> None:
    rows = published_rows(home).sort("store_id", "sku_id", "step")
    series = rows.select("store_id", "sku_id").unique(maintain_order=True).rows()
    assert len(series) > 20
    found = served.predict(asked(*((store, sku, END, 28) for store, sku in series)))
    assert list(found.columns) == rows.columns
    # Decimals as they are, floats bit by bit.
    pd.testing.assert_frame_equal(found, rows.to_pandas(), check_exact=True)


def test_rows_come_in_the_order_of_the_input_also_twice_and_by_date_or_moment(home: Runner, served: Any) -> None:
    rows = published_rows(home)
    first, second = rows.select("store_id", "sku_id").unique(maintain_order=True).head(2).rows()
    found = served.predict(
        asked((*second, RETAILER.end, 28), (*first, pd.Timestamp(RETAILER.end), 28.0), (*second, END, 28))
    )
    assert list(found["step"]) == [*range(1, 29)] * 3
    assert [tuple(row) for row in found[["store_id", "sku_id"]].iloc[::28].itertuples(index=False)] == [
        second, first, second,
    ]  # fmt: skip


def test_nothing_is_published_and_the_alias_leads_to_the_same(home: Runner, served: Any) -> None:
    before = home.stores.ledger.state().sequence, set(home.settings.store_folder.rglob("*"))
    row = published_rows(home).select("store_id", "sku_id").row(0)
    # Ten days ahead nothing was published; what is computed is what a run would publish.
    found = served.predict(asked((*row, END, 10)))
    assert list(found["step"]) == [*range(1, 11)]
    assert set(found["forecast_horizon"]) == {10}
    same = loaded(home, "models:/forecast-assets@champion").predict(asked((*row, END, 10)))
    pd.testing.assert_frame_equal(found, same, check_exact=True)
    assert (home.stores.ledger.state().sequence, set(home.settings.store_folder.rglob("*"))) == before


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (asked(("S-01", "no-such", END, 28)), InputError, "has no series S-01/no-such on 2025-06-30"),
        (asked(("S-01", "x", END, 3)), HorizonError, "No run looks 3 days ahead"),
        (asked(("S-01", "x", END, 60)), HorizonError, "28"),
        (asked(("S-01", "x", "30.06.2025", 28)), InputError, "cannot be read"),
        (asked(("S-01", "x", END, None)), InputError, "cannot be read"),
        (asked(("S-01", "x", "2025-06-29", 28)), ForecastAssetsError, "2025-06-29"),
        (asked()[["store_id", "sku_id"]], InputError, "lacks the columns prediction_date, horizon"),
    ],
)
def test_what_cannot_be_predicted_is_said(served: Any, given: pd.DataFrame, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        served.predict(given)


def test_a_date_without_a_snapshot_is_not_made_up(served: Any) -> None:
    with pytest.raises(NotStagedError, match="feature_snapshots"):
        served.predict(asked(("S-01", "x", "2025-07-01", 28)))


def test_an_empty_input_gives_no_rows(served: Any) -> None:
    assert len(served.predict(asked())) == 0


def test_an_artifact_of_another_hash_is_refused(home: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = copied(home, tmp_path / "home")
    lead_to(runner, monkeypatch)
    mirrored(runner, rebuild=True)
    source = client(mirror_place(runner.settings)).get_model_version("forecast-assets", "1").source
    artifact = Path(source, "data/artifact.json")
    artifact.write_bytes(artifact.read_bytes() + b" ")
    with pytest.raises(ChangedFileError, match="the ledger of this home names") as refused:
        loaded(runner, "models:/forecast-assets/1")
    assert "FORECAST_ASSETS_HOME" in str(refused.value)
    artifact.with_name("version.json").write_text("[]")
    with pytest.raises(ChangedFileError, match="not as it was written"):
        loaded(runner, "models:/forecast-assets/1")


def test_a_home_without_the_version_refuses_it(home: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path))
    with pytest.raises(UnknownVersionError, match="`stat-1`"):
        loaded(home, "models:/forecast-assets/1")


def test_a_model_folder_has_no_code_and_the_same_bytes_each_time() -> None:
    files = model_files("stat-1", "2025-07-01T06:00:00+00:00", b"{}")
    assert files == model_files("stat-1", "2025-07-01T06:00:00+00:00", b"{}")
    assert sorted(files) == ["MLmodel", "data/artifact.json", "data/version.json"]
