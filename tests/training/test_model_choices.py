"""What training compared and took can be seen by whoever has to trust it."""

import dagster as dg
import pytest

from forecast_assets.launch import Runner
from forecast_assets.presentation.state import version_text

pytestmark = pytest.mark.usefixtures("brief_runs")


def test_a_version_shows_what_was_compared_and_taken(trained: Runner) -> None:
    text = version_text(trained.stores, "stat-1")
    assert "What training compared by backtests" in text
    taken = [line for line in text.splitlines() if line.rstrip().endswith("taken")]
    assert any(line.startswith("smooth") for line in taken)
    assert any(line.startswith("new") and "BorrowedLevel" in line for line in text.splitlines())


def test_the_training_asset_shows_the_same_in_the_ui(trained: Runner) -> None:
    event = trained.instance.get_latest_materialization_event(dg.AssetKey("model_artifacts"))
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata["compared_by_backtests"].value
    assert "loss_over_best" in str(shown)
    assert "SimpleExponentialSmoothing" in str(shown)
