"""Decisions about versions as Dagster's jobs: the same entries as the commands make, with who and why."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from forecast_assets.core.errors import NotAcceptedError
from forecast_assets.settings import Settings
from resources.ledger.entries.judge import Judgements
from resources.ledger.entries.register import Versions
from resources.stores.home import Stores, open_stores
from tests.support.decision_jobs import launched
from tests.support.store_cases import accept_training, ingest, register

WHO = {"by": "ana", "reason": "a test"}


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    made = open_stores(tmp_path / "home/store")
    ingest(made)
    for name in ("stat-1", "stat-2"):
        register(made, name, gates={"backtest_beats_seasonal_naive": True}, horizon=90)
        accept_training(made, name)
    register(made, "weak", gates={"backtest_beats_seasonal_naive": False})
    accept_training(made, "weak")
    return made


def ran(stores: Stores, job: str, asset: str, partition: str | None = None, **config: Any) -> dict[str, Any]:
    """Run a job of the code location, and return what it shows."""
    settings = Settings(home=Path(str(stores.blobs.root)).parent)
    with dg.DagsterInstance.ephemeral() as instance:
        return launched(stores, settings, job, asset, instance=instance, partition=partition, **config)


def test_promotion_rollback_and_retirement_are_jobs_that_record_who_and_why(stores: Stores) -> None:
    for name in ("stat-1", "stat-2"):
        shown = ran(stores, "promotion", "promotions", model_version=name, **WHO)
        assert f"champion is now {name}" in shown["what"]
    ran(stores, "rollback", "rollbacks", **WHO)
    shown = ran(stores, "retirement", "retirements", model_version="stat-2", **WHO)
    again = open_stores(stores.blobs.root)
    moves = [
        (move.model_version, move.is_rollback, move.by, move.reason) for move in again.ledger.state().channel_moves
    ]
    assert moves == [
        ("stat-1", False, *WHO.values()),
        ("stat-2", False, *WHO.values()),
        ("stat-1", True, *WHO.values()),
    ]
    assert again.ledger.state().part(Versions).retired == {"stat-2": shown["ledger_sequence"]}
    ran(stores, "retirement", "retirements", model_version="stat-2", undo=True, **WHO)
    assert open_stores(stores.blobs.root).ledger.state().part(Versions).retired == {}


def test_a_promotion_of_what_is_promoted_already_records_nothing(stores: Stores) -> None:
    ran(stores, "promotion", "promotions", model_version="stat-1", **WHO)
    before = open_stores(stores.blobs.root).ledger.state().sequence
    shown = ran(stores, "promotion", "promotions", model_version="stat-1", **WHO)
    assert "nothing changed" in shown["what"]
    assert open_stores(stores.blobs.root).ledger.state().sequence == before


def test_a_version_that_fails_a_gate_is_not_promoted_by_a_job_either(stores: Stores) -> None:
    with pytest.raises(NotAcceptedError, match="it fails beats_seasonal_naive"):
        ran(stores, "promotion", "promotions", model_version="weak", **WHO)
    assert open_stores(stores.blobs.root).ledger.state().channel("champion") is None


def test_the_asset_of_gates_records_a_judgement_and_shows_it(stores: Stores) -> None:
    shown = ran(stores, "gates", "promotion_gates", partition="weak")
    record = open_stores(stores.blobs.root).ledger.state().part(Judgements).newest("weak", "daily")
    assert record is not None
    assert (record.failed_merit, shown["ledger_sequence"]) == (("beats_seasonal_naive",), record.sequence)
    assert "it fails beats_seasonal_naive" in shown["conclusion"]
    assert shown["distance_from_bounds"].startswith("![distance of each gate")
