"""A trained retailer judged by its real reports and runs, and risk bands that follow the policy from its day on."""

from pathlib import Path

import polars as pl
import pytest

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.core.errors import NotAcceptedError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.policy import DEFAULT_POLICY
from forecast_assets.launch import Runner
from forecast_assets.models.gates import PROMOTION_GATES, judged
from forecast_assets.operations.policies import apply_policy, propose_policy
from forecast_assets.operations.promoting import judge, promote
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.replaying import replay
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.promotion.champion import compared_with_champion
from resources.stores.home import Stores
from tests.support.retailers import KEY, copied

WHO = {"by": "ana", "reason": "a test"}
Published = tuple[Runner, RunOutcome]


@pytest.fixture
def home(published: Published, tmp_path: Path) -> Runner:
    return copied(published[0], tmp_path / "home")


def rows_of(stores: Stores, name: str = "stat-1") -> pl.DataFrame:
    return judge(stores, name, "daily").rows


def test_a_trained_version_is_sound_and_its_figures_are_those_of_its_report(home: Runner) -> None:
    stores = home.stores
    rows = rows_of(stores)
    sound = rows.filter(kind="soundness")
    assert sound.filter(verdict="met")["gate"].to_list() == sound["gate"].to_list()
    assert {"lineage_is_complete", "forecasts_are_coherent", "forecasts_are_not_negative"} <= {*sound["gate"]}
    record = stores.registry.model_version("stat-1")
    report = stores.predictions.read(stores.predictions.version(record.evaluation_report))
    of_report = rows.filter(pl.col("gate").is_in(["beats_seasonal_naive", "bias_is_small", "coverage_is_right"]))
    assert of_report["figure"].to_list() == [each.value for each in judged(report, PROMOTION_GATES)]
    assert (of_report["verdict"] == "met").to_list() == [record.gates[gate.name] for gate in PROMOTION_GATES]
    assert str(KEY) in rows.filter(gate="inputs_are_familiar")["measured_on"].item()
    # What it was judged from is behind the judgement, so that it is kept as long as the judgement is.
    behind = {made.product for made in stores.predictions.lineage([judge(stores, "stat-1", "daily").product.version])}
    assert {"evaluation_reports", "calibration", "model_artifacts", "forecasts"} <= behind


def test_two_versions_of_one_snapshot_are_compared_on_the_same_days(home: Runner) -> None:
    """A second version by the same report, and one by a report that is a tenth worse."""
    stores = home.stores
    first = stores.registry.model_version("stat-1")
    made = stores.predictions.version(first.evaluation_report)
    report = stores.predictions.read(made)
    wape = pl.col("metric") == "wape"
    for name, factor in (("same", 1.0), ("worse", 1.1)):
        changed = report.with_columns(pl.when(wape).then(pl.col("value") * factor).otherwise("value").alias("value"))
        written = stores.predictions.write(
            EVALUATION_REPORTS, changed, key=name, folder=f"evaluation_reports/model_version={name}",
            inputs=made.inputs, facts=made.facts,
        )  # fmt: skip
        entry = {
            **vars(first),
            "model_version": name,
            "cutoff": str(first.cutoff),
            "evaluation_report": written.version,
        }
        stores.registry.register({k: v for k, v in entry.items() if k not in ("sequence", "recorded_at", "cpu")})
    compared = compared_with_champion(stores, stores.registry.model_version("same"), "stat-1", "daily")
    assert compared.rows.height > 1
    assert (compared.rows["ours"] == compared.rows["theirs"]).all()
    assert promote(stores, "same", channel="challenger", **WHO).is_new
    with pytest.raises(NotAcceptedError, match="it fails not_worse_than_champion"):
        promote(stores, "worse", channel="challenger", **WHO)
    found = rows_of(stores, "worse").filter(gate="not_worse_than_champion")
    assert found["figure"].to_list() == pytest.approx([0.1] * found.height)
    wider = propose_policy(
        stores.ledger,
        {"gates.largest_wape_over_champion": 0.15, "gates.largest_segment_wape_over_champion": 0.2},
    )
    apply_policy(stores.ledger, wider, **WHO)
    assert promote(stores, "worse", channel="challenger", **WHO).is_new


def test_risk_bands_follow_the_policy_and_runs_of_before_and_after_are_rebuilt_by_that_of_their_time(
    home: Runner,
) -> None:
    stores = home.stores
    before = stores.predictions.publication(KEY)
    assert before.policy == DEFAULT_POLICY.version
    assert "policy" not in stores.predictions.version(before.products["stockout_risks"]).facts
    narrow = {"risk_bands.moderate": 0.02, "risk_bands.high": 0.05, "risk_bands.critical": 0.1}
    record = apply_policy(stores.ledger, propose_policy(stores.ledger, narrow), **WHO)
    key = RunKey("daily", KEY.prediction_date, "stat-1", 14)
    after = home.score(key).publication
    assert after.policy == record.version
    assert stores.predictions.version(after.products["stockout_risks"]).facts["policy"] == record.version
    probability = pl.col("stockout_probability").cast(pl.Float64)
    for publication, lowest in ((before, {"critical": 0.5, "high": 0.2}), (after, {"critical": 0.1, "high": 0.05})):
        rows = read_product(stores, publication, "stockout_risks").drop_nulls("stockout_probability")
        assert ((rows["risk_band"] == "critical") == rows.select(probability >= lowest["critical"]).to_series()).all()
        above = rows.filter(probability >= lowest["high"])["risk_band"]
        assert {*above} <= {"high", "critical"}
    apply_policy(stores.ledger, propose_policy(stores.ledger, {"risk_bands.moderate": 0.01}), **WHO)
    for publication in (before, after):
        replay(stores, home.settings, publication.key, lambda *_: None).require_equal()
