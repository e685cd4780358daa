"""A run that one release began is not finished by another: its products are of one code, or it is made anew."""

from pathlib import Path

import pytest

from checks.acceptance import required_checks
from forecast_assets.contracts import FORECAST_OVERRIDES, FORECASTS, RECONCILED_FORECASTS
from forecast_assets.core.errors import NotAcceptedError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.run import RunOptions, RunRequest
from forecast_assets.launch import Runner
from forecast_assets.publication.stage import publish
from forecast_assets.scoring.context import RunContext
from forecast_assets.scoring.run import score
from resources.store.overlay import OverlayStore
from resources.stores.home import Stores
from tests.support.retailers import RETAILER

pytestmark = pytest.mark.usefixtures("brief_runs")

OLDER = "0.0.9+an-older-one"
REQUEST = RunRequest(RunKey("daily", RETAILER.end, "stat-1", 7), RunOptions(risk_paths=100, workers=1))


@pytest.fixture
def scratch(trained: Runner, tmp_path: Path) -> Stores:
    """A retailer with a snapshot, under a folder that takes what a run writes."""
    stores = trained.stores
    over = Stores.on(OverlayStore(stores.blobs, tmp_path), stores.ledger)
    over.predictions.stage(stores.predictions.staged("feature_snapshots", RETAILER.end), RETAILER.end)
    return over


def test_a_run_begun_before_an_upgrade_is_refused_and_the_whole_run_again_is_the_new_one(
    scratch: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("resources.stores.products.code_version", lambda: OLDER)
        before.setattr("forecast_assets.scoring.context.code_version", lambda: OLDER)
        score(RunContext(scratch, REQUEST), last=RECONCILED_FORECASTS.name)
    with pytest.raises(
        NotAcceptedError, match=rf"was made by {OLDER.replace('+', '.')}, and this is .*whole run again"
    ):
        score(RunContext(scratch, REQUEST), first=FORECAST_OVERRIDES.name)
    assert not scratch.predictions.is_staged(FORECAST_OVERRIDES.name, REQUEST.key)

    made = score(RunContext(scratch, REQUEST))
    assert OLDER not in {each.code_version for each in made.values()}


def test_what_an_older_release_made_whole_is_not_published_by_a_newer_one(
    scratch: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("resources.stores.products.code_version", lambda: OLDER)
        before.setattr("forecast_assets.scoring.context.code_version", lambda: OLDER)
        made = score(RunContext(scratch, REQUEST))
    assert {each.code_version for each in made.values()} == {OLDER}
    assert scratch.predictions.is_staged(FORECASTS.name, REQUEST.key)
    with pytest.raises(NotAcceptedError, match="that one release began is not finished by another"):
        publish(RunContext(scratch, REQUEST), required_checks)
