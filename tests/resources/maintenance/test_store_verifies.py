"""A store that real runs made is as it was written, and its head is on record outside of it."""

import pytest

from forecast_assets.launch import Runner
from forecast_assets.operations.use_cases import RunOutcome
from resources.ledger.log import head_text
from resources.maintenance.verification import verify_store
from resources.orchestration.recorded_heads import recorded_heads

pytestmark = pytest.mark.usefixtures("brief_runs")


def test_a_published_home_verifies_with_the_heads_that_the_catalogue_and_dagster_recorded(
    published: tuple[Runner, RunOutcome],
) -> None:
    runner, outcome = published
    heads = recorded_heads(runner.settings.catalogue_path, runner.settings.dagster_folder)
    entry = runner.stores.ledger.entries()[outcome.publication.sequence - 1]
    assert {each.where: each.head for each in heads} == {
        place: head_text(entry.sequence, entry.hash) for place in ("catalogue", "Dagster, daily/published_predictions")
    }
    verification = verify_store(runner.stores.blobs, expect_heads=[each.head for each in heads])
    assert verification.findings == ()
    assert verification.confirmed == {head_text(entry.sequence, entry.hash)}
