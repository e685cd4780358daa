"""Days that have been sold stay as the revision before had them, whatever is said or taken back afterwards."""

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from forecast_assets.contracts import FORECAST_OVERRIDES
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.overrides import Override, Scope
from forecast_assets.launch import Runner
from forecast_assets.operations.overrides import decide_overrides, record_overrides
from forecast_assets.operations.policies import apply_policy, propose_policy
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.replaying import replay
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.overrides.instructions import AppliedSet, kept_sets
from forecast_assets.simulation.simulator import Simulation
from tests.accuracy.test_accuracy_run import arrive
from tests.support.retailers import KEY, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

Published = tuple[Runner, RunOutcome]
DAYS = [KEY.prediction_date + timedelta(days=ahead) for ahead in range(1, 7)]
SOLD = DAYS[:3]
SAID = {"by": "ana", "reason": "the walk"}
LEAST = 3


def at_revision(revision: int) -> RunKey:
    return replace(KEY, revision=revision)


@pytest.fixture(scope="module")
def walked(published: Published, simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """r1 has +20%; then three days are sold, that is withdrawn, another is approved, and a rule comes: r2."""
    runner = copied(published[0], tmp_path_factory.mktemp("sold") / "home")
    lift = Override(Scope.of(), DAYS[0], DAYS[-1], "percent", "20", "event")
    cut = Override(Scope.of(), DAYS[0], DAYS[-1], "percent", "-30", "supply")
    first, _ = record_overrides(runner.stores, [lift], by="ana")
    runner.publish_overrides(KEY, **SAID)
    waits, _ = record_overrides(runner.stores, [cut], by="ana", needs_approval=True)
    for day in SOLD:
        arrive(runner, simulation, day)
    decide_overrides(runner.stores, [f"o{first.sequence}"], "withdrawn", **SAID)
    decide_overrides(runner.stores, [f"o{waits.sequence}"], "approved", by="ben", reason="seen")
    rules = {"planning.minimum_presentation": [f"total:total={LEAST}"]}
    apply_policy(runner.stores.ledger, propose_policy(runner.stores.ledger, rules), **SAID)
    assert runner.publish_overrides(KEY, **SAID).publication.key == at_revision(2)
    return runner


def forecasts(runner: Runner, revision: int) -> pl.DataFrame:
    publication = runner.stores.predictions.publication(at_revision(revision))
    return read_product(runner.stores, publication, "forecasts")


def test_what_was_withdrawn_approved_or_ruled_afterwards_moves_no_sold_day(walked: Runner) -> None:
    first, second = (forecasts(walked, revision).drop("revision", "expected_sales_units") for revision in (1, 2))
    is_sold = pl.col("target_date").is_in(SOLD)
    assert first.filter(is_sold).equals(second.filter(is_sold))
    assert not first.filter(~is_sold).equals(second.filter(~is_sold))
    ahead = second.filter(pl.col("target_date").is_in(DAYS[3:]), pl.col("reconciled_units") > 0)
    wanted = pl.max_horizontal(0.7 * pl.col("reconciled_units").cast(float), pl.lit(float(LEAST)))
    assert ahead.select((pl.col("forecast_units").cast(float) - wanted).abs().max()).item() < 1e-5


def test_its_manifest_says_what_moved_which_days_and_its_replay_is_equal(walked: Runner) -> None:
    publication = walked.stores.predictions.publication(at_revision(2))
    facts = walked.stores.predictions.version(publication.products[FORECAST_OVERRIDES.name]).facts
    (earlier,) = facts["earlier_overrides"]
    assert (earlier["until"], facts["observed_until"]) == (SOLD[-1].isoformat(),) * 2
    assert earlier["overrides"] != facts["overrides"]
    assert (earlier["policy"], bool(facts["policy"])) == ("", True)
    replay(walked.stores, walked.settings, at_revision(2), lambda *_: None).require_equal()


def test_an_override_whose_days_have_all_been_sold_is_approved_no_more(walked: Runner) -> None:
    said = Override(Scope.of(), SOLD[0], SOLD[-1], "percent", "10", "event")
    with pytest.raises(InputError, match="is past: sales are known up to"):
        record_overrides(walked.stores, [said], by="ana")


def test_periods_of_several_revisions_stay_apart() -> None:
    first, second, third = AppliedSet(("o1-1",), ""), AppliedSet(("o2-1",), "p"), AppliedSet(("o3-1",), "p")
    kept = kept_sets((first,), DAYS[1])
    assert kept == (replace(first, until=DAYS[1]),)
    later = kept_sets((*kept, second), DAYS[3])
    assert later == (replace(first, until=DAYS[1]), replace(second, until=DAYS[3]))
    assert kept_sets((*later, third), DAYS[3]) == later
    assert kept_sets((*later, third), DAYS[0]) == (replace(first, until=DAYS[0]),)
