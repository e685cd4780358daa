"""Rules of a policy and items that are not sold, through a whole revision: numbers, words, manifest, replay, kills."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from forecast_assets.contracts import FORECAST_OVERRIDES, PUBLISHED
from forecast_assets.core.errors import NothingToCorrectError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.overrides import Override, Scope
from forecast_assets.core.policy import DEFAULT_POLICY
from forecast_assets.forecast_overrides import stage as overriding
from forecast_assets.launch import Runner
from forecast_assets.operations.overrides import (
    PlannedRun,
    decide_overrides,
    overrides_of,
    preview_overrides,
    record_overrides,
)
from forecast_assets.operations.policies import apply_policy, propose_policy
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.replaying import replay
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.presentation.overrides import effect_notes
from forecast_assets.scoring.context import RunContext
from resources.ledger.entries.publish import Publication
from resources.maintenance.verification import verify_store
from resources.orchestration.dagster_resources import RunResource
from tests.support.retailers import KEY, copied, new_runner

pytestmark = pytest.mark.usefixtures("brief_runs")

Published = tuple[Runner, RunOutcome]
FIRST = replace(KEY, revision=1)
DAYS = KEY.prediction_date + timedelta(days=2), KEY.prediction_date + timedelta(days=4)
STEPS = pl.col("target_date").is_between(*DAYS)
LEAST = Decimal("1.5")


def rows(runner: Runner, name: str, key: RunKey) -> pl.DataFrame:
    return read_product(runner.stores, runner.stores.predictions.publication(key), name)


def an_event(run: PlannedRun) -> str:
    """An event of the days ahead, the first by name."""
    assert run.events is not None
    ahead = run.events.filter(pl.col("target_date") > run.key.prediction_date)
    return str(ahead["event_name"].sort()[0])


@pytest.fixture(scope="module")
def planned(published: Published) -> PlannedRun:
    return PlannedRun.of(published[0].stores, published[1].publication)


@pytest.fixture(scope="module")
def ruled(
    published: Published, planned: PlannedRun, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Runner, str, str]:
    """A revision under a policy with an uplift and a minimum presentation, and with an item that is delisted."""
    runner = copied(published[0], tmp_path_factory.mktemp("ruled") / "home")
    gone = str(planned.hierarchy.series["sku_id"][0])
    event = an_event(planned)
    changes = {
        "planning.event_uplifts": [f"{event}@total:total=50"],
        "planning.minimum_presentation": [f"total:total={LEAST}"],
    }
    apply_policy(runner.stores.ledger, propose_policy(runner.stores.ledger, changes), by="ana", reason="as agreed")
    said = [
        Override(Scope.of(sku=gone), *DAYS, "zero", "", "delisted"),
        Override(Scope.of(sku=gone), *DAYS, "floor", "40", "other"),
        Override(Scope.of(), *DAYS, "percent", "10", "event", "a fair"),
    ]
    record_overrides(runner.stores, said, by="ana", confirmed=True)
    assert runner.publish_overrides(KEY, by="ana", reason="rules").publication.key == FIRST
    return runner, event, gone


def told(runner: Runner, key: RunKey = FIRST) -> pl.DataFrame:
    return rows(runner, "forecast_overrides", key)


def test_an_event_lifts_each_row_of_its_days_first(ruled: tuple[Runner, str, str], planned: PlannedRun) -> None:
    runner, event, gone = ruled
    lifted = told(runner).filter(reason="event_uplift")
    assert planned.events is not None
    days = planned.events.filter(event_name=event).select("store_id", "target_date").unique()
    expected = rows(runner, "forecasts", KEY).join(days, on=["store_id", "target_date"], how="semi")
    # What is not expected to sell is lifted by nothing, and so is what is not sold.
    sells = (pl.col("reconciled_units") > 0) & ~((pl.col("sku_id") == gone) & STEPS)
    assert lifted.height == expected.filter(sells).height > 0
    assert (lifted["application"] == 1).all()
    assert lifted["is_rule"].all()
    assert set(lifted["by"]) == {"policy"}
    off = (lifted["after_units"].cast(float) - 1.5 * lifted["model_units"].cast(float)).abs()
    assert off.max() <= 1e-6


def test_each_series_sells_at_least_what_is_presented_unless_it_is_not_sold(ruled: tuple[Runner, str, str]) -> None:
    runner, _, gone = ruled
    forecasts = rows(runner, "forecasts", FIRST)
    is_gone = (pl.col("sku_id") == gone) & STEPS
    selling = forecasts.filter(~is_gone & (pl.col("reconciled_units") > 0))
    assert selling["forecast_units"].min() == LEAST
    assert selling["reconciled_units"].min() < LEAST
    closed = forecasts.filter(pl.col("reconciled_units") == 0, ~is_gone)
    assert closed["forecast_units"].max() == 0
    nothing = forecasts.filter(is_gone)
    quantiles = [name for name in nothing.columns if name.startswith("q") and name.endswith("_units")]
    assert nothing.height == 3 * nothing["store_id"].n_unique()
    assert (
        nothing.select(pl.max_horizontal(pl.col("forecast_units", "expected_sales_units", *quantiles)))
        .to_series()
        .max()
        == 0
    )


def test_nothing_moves_after_an_item_is_not_sold(ruled: tuple[Runner, str, str]) -> None:
    runner, _, gone = ruled
    of_item = told(runner).filter((pl.col("sku_id") == gone) & STEPS)
    first, others = of_item.filter(application=1), of_item.filter(pl.col("application") > 1)
    assert set(first["reason"]) == {"delisted"}
    assert first["after_units"].max() == 0
    assert {"event", "other"} <= set(others["reason"])
    assert set(others["superseded_by"]) == set(first["override_id"])
    assert others["after_units"].max() == 0


def test_units_of_a_node_go_to_the_items_that_are_sold_and_the_preview_says_so(
    published: Published, planned: PlannedRun, tmp_path: Path
) -> None:
    runner = copied(published[0], tmp_path / "home")
    place = planned.hierarchy.product_levels[-1]
    sibling_level = planned.hierarchy.product_levels[1]
    gone = place.nodes[0]
    node = sibling_level.members[planned.rows_of(Scope.of(sku=gone))[0]]
    about = Scope.of(product=(sibling_level.name, node))
    record_overrides(runner.stores, [Override(Scope.of(sku=gone), *DAYS, "zero", "", "delisted")], by="ana")
    (listed,) = overrides_of(runner.stores.ledger)
    wanted = Override(about, *DAYS, "units", "100", "other")
    (effect,) = preview_overrides(runner.stores, planned, [wanted]).effects
    assert effect.after_units == pytest.approx(300)
    assert (effect.unmet_units, effect.superseded_by) == (0, (listed.id,))
    assert f"Rows of {listed.id} stay as those say" in " ".join(effect_notes(effect))
    # A node of which nothing is sold cannot have any: that is said too.
    (none,) = preview_overrides(
        runner.stores, planned, [Override(Scope.of(sku=gone), *DAYS, "units", "100", "other")]
    ).effects
    assert (none.after_units, none.unmet_units, none.rows_moved) == (0, 300, 0)
    assert "has 300.0 units less than it asks for" in " ".join(effect_notes(none))


def test_uplifts_that_meet_on_a_row_multiply_and_the_preview_names_them(
    published: Published, planned: PlannedRun, tmp_path: Path
) -> None:
    runner = copied(published[0], tmp_path / "home")
    event, level = an_event(planned), planned.hierarchy.product_levels[1]
    node, other = level.nodes[0], level.nodes[1]
    uplifts = [f"{event}@total:total=50", f"{event}@{level.name}:{node}=20"]
    apply_policy(
        runner.stores.ledger,
        propose_policy(runner.stores.ledger, {"planning.event_uplifts": uplifts}),
        by="ana",
        reason="as agreed",
    )
    assert planned.events is not None
    day = planned.events.filter(event_name=event)["target_date"].min()
    of_node, of_other = (
        preview_overrides(
            runner.stores,
            planned,
            [Override(Scope.of(product=(level.name, each)), day, day, "percent", "0.001", "other")],
        ).effects[0]
        for each in (node, other)
    )
    assert of_node.before_units == pytest.approx(of_node.model_units * 1.5 * 1.2, abs=1e-3)
    assert of_other.before_units == pytest.approx(of_other.model_units * 1.5, abs=1e-3)
    assert of_node.multiplied_uplifts == tuple(sorted(f"event_uplift {each}" for each in uplifts))
    assert "uplifts that are about the same row multiply" in " ".join(effect_notes(of_node))
    assert of_other.multiplied_uplifts == ()


def test_words_name_rules_and_planners_in_their_order(ruled: tuple[Runner, str, str]) -> None:
    runner, event, gone = ruled
    explained = rows(runner, "forecast_explanations", FIRST)
    words = explained.filter((pl.col("sku_id") == gone) & STEPS & (pl.col("override_units") != 0))["forecast_reason"]
    assert words.str.contains("ana: zero, delisted", literal=True).all()
    assert explained["forecast_reason"].str.contains(f"rule: +50%, event uplift, {event}", literal=True).any()
    presented = explained["forecast_reason"].str.contains(
        f"rule: at least {LEAST} units a day, minimum presentation", literal=True
    )
    assert presented.any()
    fair = words.str.contains("ana: +10%, event, a fair and then", literal=True)
    assert fair.all()


def test_manifest_and_publication_name_the_policy(ruled: tuple[Runner, str, str]) -> None:
    runner, _, _ = ruled
    publication = runner.stores.predictions.publication(FIRST)
    facts = runner.stores.predictions.version(publication.products[FORECAST_OVERRIDES.name]).facts
    assert facts["policy"] == publication.policy != DEFAULT_POLICY.version
    assert len(facts["overrides"]) == 3


def test_a_later_policy_and_withdrawals_change_no_replay(ruled: tuple[Runner, str, str], tmp_path: Path) -> None:
    runner = copied(ruled[0], tmp_path / "home")
    apply_policy(
        runner.stores.ledger,
        propose_policy(runner.stores.ledger, {"planning.minimum_presentation": [], "planning.event_uplifts": []}),
        by="ana", reason="no more",
    )  # fmt: skip
    decide_overrides(
        runner.stores, [told(runner).filter(~pl.col("is_rule"))["override_id"][0]], "withdrawn", by="ana", reason="off"
    )
    replay(runner.stores, runner.settings, FIRST, lambda *_: None).require_equal()


def test_what_is_said_while_a_run_is_made_changes_neither_it_nor_its_replay(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = copied(published[0], tmp_path / "home")
    one = Override(Scope.of(), *DAYS, "percent", "10", "event", "the first")
    record_overrides(runner.stores, [one], by="ana")
    applied, said = overriding.override, []

    def saying(run: RunContext) -> Any:
        made = applied(run)
        if not said:
            said.append(record_overrides(runner.stores, [replace(one, value="90")], by="ben")[0])
            changes = {"planning.minimum_presentation": ["total:total=9"], "risk_bands.high": 0.25}
            apply_policy(runner.stores.ledger, propose_policy(runner.stores.ledger, changes), by="ben", reason="late")
        return made

    monkeypatch.setattr("forecast_assets.forecast_overrides.assets.override", saying)
    # Each stage by itself, as where somebody makes them one by one in the UI.
    monkeypatch.setattr(RunResource, "cached", lambda _run, _key, make: make())
    made = runner.publish_overrides(KEY, by="ana", reason="the first")
    assert len(said) == 1
    monkeypatch.undo()
    assert set(told(runner)["note"]) == {"the first"}
    before, after = (rows(runner, "forecasts", key).filter(STEPS)["forecast_units"].sum() for key in (KEY, FIRST))
    assert float(after) == pytest.approx(1.1 * float(before), rel=1e-6)
    replay(runner.stores, runner.settings, made.publication.key, lambda *_: None).require_equal()
    again = runner.publish_overrides(KEY, by="ben", reason="the second").publication.key
    assert again.revision == 2
    assert "the first" in set(told(runner, again)["note"])
    assert rows(runner, "forecasts", again).filter(pl.col("reconciled_units") > 0)["forecast_units"].min() == 9


KILLED = """
import os, signal, sys
from pathlib import Path
from forecast_assets.core.errors import NothingToCorrectError
from forecast_assets.core.keys import RunKey
from resources.store.blobs import BlobStore
from tests.support.retailers import new_runner

home, key, folder, after = Path(sys.argv[1]), RunKey.parse(sys.argv[2]), sys.argv[3], sys.argv[4] == "after"
create = BlobStore.create

def killing(self, path, data):
    made = create(self, path, data) if after or not path.startswith(folder) else None
    if path.startswith(folder):
        os.kill(os.getpid(), signal.SIGKILL)
    return made

BlobStore.create = killing
new_runner(home).publish_overrides(key, by="ana", reason="a fair")
"""


@pytest.fixture(scope="module")
def said(published: Published, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, dict[str, str]]:
    """A home with an override, and the bytes of its revision by name of product, made in another home."""
    runner = copied(published[0], tmp_path_factory.mktemp("said") / "home")
    record_overrides(runner.stores, [Override(Scope.of(), *DAYS, "percent", "10", "event")], by="ana")
    other = copied(runner, tmp_path_factory.mktemp("whole") / "home")
    return runner, hashes(other, other.publish_overrides(KEY, by="ana", reason="a fair").publication)


def hashes(runner: Runner, publication: Publication) -> dict[str, str]:
    return {name: runner.stores.predictions.files(publication, name)[0].sha256 for name in PUBLISHED}


@pytest.mark.parametrize(
    ("place", "when"),
    [
        ("predictions/forecast_overrides", "before"), ("predictions/forecast_overrides", "after"),
        ("predictions/stockout_risks", "after"), ("predictions/forecast_explanations", "after"),
        ("acceptances", "after"), ("ledger/", "before"), ("ledger/", "after"),
    ],
)  # fmt: skip
def test_a_revision_that_is_killed_anywhere_is_there_or_not_and_made_again_has_the_same_bytes(
    said: tuple[Runner, dict[str, str]], place: str, when: str, tmp_path: Path
) -> None:
    runner = copied(said[0], tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, runner.settings.home, str(KEY), place, when],
        cwd=Path(__file__).parents[2], env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    again = new_runner(runner.settings.home)
    is_committed = (place, when) == ("ledger/", "after")
    assert set(again.stores.ledger.state().publications) == ({KEY, FIRST} if is_committed else {KEY})
    assert not verify_store(again.stores.blobs).findings
    if is_committed:
        with pytest.raises(NothingToCorrectError):
            again.publish_overrides(KEY, by="ana", reason="a fair")
    else:
        assert again.publish_overrides(KEY, by="ana", reason="a fair").publication.key == FIRST
    assert hashes(again, again.stores.predictions.publication(FIRST)) == said[1]
