"""What MLflow says of a version follows from the ledger and its report alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.core.keys import CHANNELS
from forecast_assets.lifecycle.mlflow_runs import (
    ALIASES,
    expected_metrics,
    run_content,
    stage,
    version_content,
)
from resources.ledger.entries.register import VersionRecord
from resources.ledger.records import ProductFile
from resources.mlflow.content import MetricPoint, VersionContent
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from tests.support.store_cases import register

RECORD = VersionRecord(
    model_version="stat-1", family="statistical", cutoff=date(2025, 6, 30), artifact="a" * 64,
    evaluation_report="e" * 64, training_run_id="r", training_snapshot="s" * 64, feature_version="f",
    gates={"backtest_total_not_beyond_factor_2": True}, sequence=7, recorded_at="2025-07-01T06:00:00+00:00",
    cpu="x86_64", training_seconds=90.5,
)  # fmt: skip
ARTIFACT = ProductVersion(
    "a" * 64, "model_artifacts", "stat-1", "", (ProductFile("p", "h" * 64, 0, 10),), {},
    {"family": "statistical", "cutoff": "2025-06-30", "horizon": 28, "chosen": ["x"] * 2000}, "0.1.0+abc",
)  # fmt: skip


def report(*rows: tuple[str, str, str, float | None, float | None]) -> pl.DataFrame:
    names = ("segment_kind", "segment", "metric", "value", "baseline_value")
    frame = pl.DataFrame(
        [dict(zip(names, row, strict=True)) for row in rows], schema_overrides={"baseline_value": pl.Float64}
    )
    return EVALUATION_REPORTS.conform(frame.with_columns(rows=pl.lit(5), gate_margin=pl.lit(None, pl.Float64)))


OVERALL = ("all", "all", "wape", 0.4, 0.5)


def names(*rows: tuple[str, str, str, float | None, float | None]) -> list[MetricPoint]:
    return list(run_content(RECORD, ARTIFACT, report(*rows)).metrics)


def test_metrics_are_named_by_segment_and_days_ahead_are_a_curve() -> None:
    found = names(
        OVERALL,
        ("level", "category x store", "wape", 0.2, None),
        ("demand_class", "smooth", "bias", -0.1, 0.0),
        ("day_ahead", "1", "wape", 0.3, 0.6),
        ("day_ahead", "10", "wape", 0.7, None),
    )
    assert found == [
        ("overall/wape", 0.4, 0), ("overall/wape/seasonal_naive", 0.5, 0), ("level/category x store/wape", 0.2, 0),
        ("demand_class/smooth/bias", -0.1, 0), ("demand_class/smooth/bias/seasonal_naive", 0.0, 0),
        ("day_ahead/wape", 0.3, 1), ("day_ahead/wape/seasonal_naive", 0.6, 1), ("day_ahead/wape", 0.7, 10),
    ]  # fmt: skip
    assert expected_metrics(found)["day_ahead/wape"] == 0.7


def test_what_could_not_be_measured_is_left_out() -> None:
    assert names(("demand_class", "dead", "wape", None, None), ("all", "all", "bias", float("nan"), None)) == []


@pytest.mark.parametrize("node", ["a+b", "a=b", "é/ü", "..", "/x", "x/", "x//y", "y" * 300, "", "1 000 m²", "a\nb"])
def test_any_node_has_a_name_that_mlflow_takes_and_no_two_meet(node: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    others = ["a_b", "a", "_", "x", "x/y", "y" * 250]
    found = [each.name for each in names(*((("store_node", each, "wape", 0.1, None)) for each in [node, *others]))]
    for name in found:
        _validate_metric_name(name)
        assert len(name) <= 250
    assert len(set(found)) == len(others) + 1


def test_what_is_given_twice_as_a_parameter_is_there_once_and_long_values_are_cut() -> None:
    run = run_content(RECORD, ARTIFACT, report(OVERALL))
    assert {"family": "statistical", "cutoff": "2025-06-30", "horizon": "28"}.items() <= run.params.items()
    assert len(run.params["chosen"]) == 5000


def test_a_run_lasted_as_long_as_the_training() -> None:
    run = run_content(RECORD, ARTIFACT, report(OVERALL))
    assert (run.ended_ms - run.started_ms, run.ended_ms) == (90_500, 1_751_349_600_000)
    assert run.tags["training_seconds"] == "90.5"
    assert "WAPE 40.0%, seasonal naive 50.0%" in run.description


def test_of_an_earlier_release_nothing_is_made_up() -> None:
    old = replace(RECORD, training_seconds=0.0, cpu="", gates={"any": False})
    run = run_content(old, ARTIFACT, report(("day_ahead", "1", "wape", 0.3, None)))
    assert run.started_ms == run.ended_ms
    assert not {"training_seconds", "cpu", "calibration_report"} & set(run.tags)
    assert (run.tags["gates"], run.tags["failed_gates"]) == ("failed", "any")
    assert "WAPE" not in run.description


def test_aliases_are_mlflows_and_every_channel_has_one() -> None:
    assert [ALIASES[channel] for channel in CHANNELS] == [
        "champion", "challenger", "champion-weekly", "challenger-weekly",
    ]  # fmt: skip


@pytest.fixture
def registered(stores: Stores) -> Stores:
    for name in ("one", "two", "three"):
        register(stores, name, horizon=90)
    return stores


def stages(stores: Stores) -> Sequence[str]:
    return [stage(name, stores.ledger.state()) for name in ("one", "two", "three")]


def test_stage_words_follow_channels_and_retirement(registered: Stores) -> None:
    registry = registered.registry
    assert stages(registered) == ["None", "None", "None"]
    registry.promote("one", by="ana", reason="first")
    registry.promote("two", by="ana", reason="to be judged", channel="weekly-challenger")
    assert stages(registered) == ["Production", "Staging", "None"]
    registry.promote("two", by="ana", reason="better", channel="weekly-champion")
    registry.promote("three", by="ana", reason="better")
    assert stages(registered) == ["Archived", "Production", "Production"]
    registry.rollback(by="ana", reason="worse")
    assert stages(registered) == ["Production", "Production", "Archived"]
    registry.retire("three", by="ana", reason="worse")
    three = content(registered, 3, "three")
    assert (three.tags["stage"], three.tags["retired_by_ledger_entry"], three.aliases) == ("Archived", "9", frozenset())
    assert content(registered, 2, "two").aliases == {"champion-weekly", "challenger-weekly"}


def content(stores: Stores, number: int, name: str) -> VersionContent:
    return version_content(number, replace(RECORD, model_version=name), ARTIFACT, stores.ledger.state())


def test_an_overridden_gate_is_a_tag_until_the_version_is_promoted_without(registered: Stores) -> None:
    body = {
        "channel": "champion",
        "model_version": "one",
        "by": "ana",
        "reason": "first",
        "overrides": ["bias_is_small"],
    }
    registered.ledger.append("promote", body, lambda _: None)
    record = registered.registry.model_version("one")

    def tags() -> Mapping[str, str]:
        return version_content(1, record, ARTIFACT, registered.ledger.state()).tags

    assert tags()["overrides"] == "bias_is_small"
    registered.registry.promote("two", by="ana", reason="better")
    assert tags()["overrides"] == "bias_is_small", "it goes on being scored"
    registered.registry.promote("one", by="ana", reason="it meets them by now")
    assert "overrides" not in tags()
    assert version_content(1, record, ARTIFACT, registered.ledger.state()).outdated({"overrides": "x"}) == ["overrides"]
