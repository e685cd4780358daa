"""The life of model versions on a simulated retailer, through Dagster, from the first training to the rollback.

What belongs here: that each step leaves its entry, its rows in the views, its aliases in MLflow, and the version that
whoever follows the champion joins in each store. What does not: a rule by itself, which tests of its room have.

The champion is a plain mean of four weeks, so that the challenger, of the statistical family, really is better: by what
both published, not by figures that a test makes up. `SOAK=sample` looks in at some days of five weeks; `make soak`
goes through 200 by the usual level of evidence: day by day while evidence is gathered and once sales rise, week by week
where nothing is waited for. Decisions of people are launched as the UI's jobs; the others follow from a rule.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
import pytest

from forecast_assets.core.errors import NotAcceptedError
from forecast_assets.core.keys import DAILY, RunKey
from forecast_assets.ingestion.batch import Batch
from forecast_assets.launch import Runner
from forecast_assets.lifecycle.retraining import DueTraining
from forecast_assets.operations.challengers import promote_on_evidence
from forecast_assets.operations.mirroring import compare_mirror, mirror_place
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.use_cases import RetrainingOutcome
from forecast_assets.settings import Settings
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer
from resources.ledger.channels import live_versions
from resources.ledger.entries.challenge import Challenge, running_trial
from resources.stores.home import Stores
from tests.support.decision_jobs import launched
from tests.support.family_cases import RecentMean, registered
from tests.support.mirrors import client, mirrored

HORIZON: Final = 7
HISTORY_DAYS: Final = 250
END: Final = date(2025, 6, 30)
FIRST, SECOND = "mean-1", "stat-1"
SALT, SHARE = "walk", 0.5
SIGNAL: Final = "feed/sales/sales_units/changed/all"
RISE: Final = 1.3
WHO: Final = {"by": "ana", "reason": "the walk"}


@dataclass(frozen=True)
class Length:
    """How long the walk is.

    Attributes:
        stops: Days since the first training up to which sales have come, and on which everything is judged.
        runs: Those of them on which runs are published.
        shift: Day from which on sales are higher.
        pace: Stops that are taken at a time where nothing is waited for.
        rules: Rules of the trial.
    """

    stops: tuple[int, ...]
    runs: tuple[int, ...]
    shift: int
    pace: int
    rules: Mapping[str, Any]


# As docs/lifecycle.md has it, of the newest date.
_JOIN: Final = """
    SELECT a.store_id, a.model_version, a.prediction_date, sum(r.forecast_units)
    FROM audit.channel_assignments AS a
    JOIN runs AS r USING (cadence, prediction_date, store_id, model_version, forecast_horizon)
    WHERE a.channel = 'champion' AND a.is_newest AND r.revision = 0
    GROUP BY ALL HAVING a.prediction_date = (SELECT max(prediction_date) FROM audit.channel_assignments)
"""
# Two weeks decide nothing in earnest: the sample shows what follows from a verdict, the full length how it is reached.
SAMPLE: Final = Length(
    (7, 14, 30),
    (7, 30),
    15,
    1,
    {"level": 0.9, "least_days": 14, "bias_margin": 1.0, "coverage_margin": 1.0, "segment_margin": 1.0},
)
DAILY_STOPS: Final = tuple(range(1, 201))
FULL: Final = Length(
    DAILY_STOPS,
    DAILY_STOPS,
    101,
    7,
    {"level": 0.05, "bias_margin": 0.05, "coverage_margin": 0.1, "segment_margin": 0.2},
)
# A sample takes minutes too: it is made where somebody asks for it, SOAK=sample.
ASKED: Final = os.environ.get("SOAK", "")
IS_FULL: Final = ASKED == "full"
LENGTH: Final = FULL if IS_FULL else SAMPLE


pytestmark = [
    pytest.mark.skipif(not ASKED, reason="minutes long: make soak, or SOAK=sample for five weeks of it"),
    pytest.mark.usefixtures("brief_runs"),
    pytest.mark.timeout(0 if IS_FULL else 1800),
]


@dataclass
class Walk:
    """A home whose days go by.

    Attributes:
        runner: The home.
        start: Day 0, the last one that the first versions have seen.
        sales: What both sources of sales say of all days.
        stops: Days that are yet to come.
        day: The newest day with sales.
        read: Ledger entries that the test has looked at.
    """

    runner: Runner
    start: date
    sales: tuple[Batch, ...]
    stops: list[int] = field(default_factory=lambda: [*LENGTH.stops])
    day: date = date.min
    read: int = 0

    @property
    def stores(self) -> Stores:
        return self.runner.stores

    def go_on(self, stops: int = 1) -> None:
        """Let sales come up to the next stop, or one of the next; publish, weigh and judge what is due."""
        *_, stop = self.stops[:stops]
        del self.stops[:stops]
        self.arrive(self.start + timedelta(days=stop))
        if stop in LENGTH.runs:
            self.publish()
        if running_trial(self.stores.ledger.state(), DAILY.name):
            self.runner.judge(DAILY.name)
        self.runner.drift(self.day)

    def arrive(self, day: date) -> None:
        """Ingest the sales after the newest day up to another."""
        is_new = pl.col("event_date").is_between(self.day, day, closed="right")
        self.runner.ingest(replace(batch, frame=batch.frame.filter(is_new)) for batch in self.sales)
        self.day = day

    def publish(self) -> None:
        """Publish the runs of the newest day, of the versions that schedules score."""
        for live in live_versions(self.stores.ledger.state(), DAILY, datetime.now(UTC)):
            self.runner.score(RunKey(DAILY.name, self.day, live.model_version, HORIZON))

    def launched(self, job: str, asset: str, **config: Any) -> dict[str, Any]:
        """Launch a decision as somebody does in the Dagster UI; return what its run shows."""
        return launched(self.stores, self.runner.settings, job, asset, instance=self.runner.instance, **config)

    def kinds(self) -> list[str]:
        """Return the kinds of the entries since this was asked last."""
        entries = self.stores.ledger.entries()
        new, self.read = entries[self.read :], len(entries)
        return [entry.kind for entry in new]

    def view(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the views, as somebody does with a BI tool."""
        self.runner.refresh_catalogue()
        with duckdb.connect(str(self.runner.settings.catalogue_path), read_only=True) as connection:
            return connection.execute(query, values).fetchall()

    def followed(self) -> dict[str, str]:
        """Return which version whoever follows the champion joins in each store on the newest date that is assigned.

        The units that the join yields are those that the version published.
        """
        published = sorted({row[0] for row in self.view("SELECT model_version FROM audit.publications")})
        runs = " UNION ALL ".join(f'SELECT * FROM "{version}".forecasts' for version in published)  # noqa: S608
        joined = self.view(f"WITH runs AS ({runs}) {_JOIN}")
        for store, version, day, units in joined:
            publication = self.stores.predictions.publication(RunKey(DAILY.name, day, version, HORIZON))
            rows = read_product(self.stores, publication, "forecasts").filter(store_id=store)
            assert units == rows["forecast_units"].sum()
        return {store: version for store, version, _, _ in joined}

    def channels(self) -> dict[str, str]:
        """Return where channels point, by the ledger, `audit.channel_history` and MLflow alike."""
        state = self.stores.ledger.state()
        pointed = {name: state.channel(name) for name in (DAILY.champion, DAILY.challenger)}
        said = {name: version for name, version in pointed.items() if version is not None}
        for name, version in self.view(
            "SELECT channel, arg_max(model_version, sequence) FROM audit.channel_history GROUP BY channel"
        ):
            assert name not in said or said[name] == version
        mirrored(self.runner)
        place = mirror_place(self.runner.settings)
        assert compare_mirror(self.stores, place).differences == ()
        mirror = client(place)
        aliases = mirror.get_registered_model(place.model).aliases
        found = {alias: mirror.get_model_version(place.model, number) for alias, number in aliases.items()}
        assert {alias: version.tags["model_version"] for alias, version in found.items()} == said
        stages = {alias: version.tags["stage"] for alias, version in found.items()}
        # Of a version on both channels the champion's stage counts.
        assert stages[DAILY.champion] == "Production"
        if said.get(DAILY.challenger) not in (None, said[DAILY.champion]):
            assert stages[DAILY.challenger] == "Staging"
        return said


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    last = LENGTH.stops[-1]
    simulated = simulate_retailer(
        SimulatorSettings(skus=16, stores=2, days=HISTORY_DAYS + last, seed=11, end=END)
    ).batches
    start = END - timedelta(days=last)
    has_risen = pl.col("event_date") >= start + timedelta(days=LENGTH.shift)
    units = pl.when(has_risen).then((pl.col("sales_units") * RISE).round()).otherwise("sales_units")
    sales = tuple(
        replace(batch, frame=batch.frame.with_columns(sales_units=units))
        for batch in simulated
        if batch.feed == "sales"
    )
    settings = Settings(home=tmp_path / "home", workers=1, risk_paths=100, retraining_weeks=0, mlflow=True)
    made = Walk(Runner(settings), start, sales)
    # All else says itself since when it is known; sales come day by day, since trials begin after the newest of them.
    made.runner.ingest(batch for batch in simulated if batch.feed != "sales")
    made.kinds()
    with registered(RecentMean()):
        yield made


def test_versions_follow_each_other_from_training_to_rollback(walk: Walk) -> None:
    train_and_promote_the_first(walk)
    challenge_it(walk)
    weigh_until_it_is_shown(walk)
    promote_on_what_was_shown(walk)
    due = train_anew_as_sales_rise(walk)
    third = challenge_by_rule(walk, due)
    go_back(walk, third)


def train_and_promote_the_first(walk: Walk) -> None:
    walk.arrive(walk.start)
    for version, family in ((FIRST, RecentMean.name), (SECOND, "statistical")):
        walk.runner.train(family=family, version=version, cutoff=walk.start, horizon=HORIZON)
    assert walk.kinds() == ["ingest", "register", "register"]
    shown = walk.launched("promotion", "promotions", model_version=FIRST, **WHO)
    assert walk.kinds()[-2:] == ["judge", "promote"]
    assert shown["ledger_sequence"] == walk.stores.ledger.state().sequence
    assert f"champion is now {FIRST}" in shown["what"]
    assert walk.channels() == {"champion": FIRST}
    judged = walk.view("SELECT model_version, bool_and(verdict <> 'failed') FROM audit.promotion_gates GROUP BY ALL")
    assert judged == [(FIRST, True)]


def challenge_it(walk: Walk) -> None:
    """Rules stand before anything is seen, and each store follows one version by its hash."""
    rules = {"forecast_horizon": HORIZON, **LENGTH.rules}
    asked = {"model_version": SECOND, "share": SHARE, "salt": SALT, "rules": rules}
    shown = walk.launched("challenger", "challengers", **asked, **WHO)
    trial = running_trial(walk.stores.ledger.state(), DAILY.name)
    assert trial is not None
    assert shown["ledger_sequence"] == trial.sequence
    assert walk.kinds() == ["judge", "challenge"]
    assert trial.first_day == walk.start + timedelta(days=1)
    assert walk.channels() == {"champion": FIRST, "challenger": SECOND}
    walk.publish()
    # The champion's run is assigned as soon as it is there, and again once the challenger's is.
    assert walk.kinds() == ["publish", "assign", "publish", "assign"]
    assert walk.followed() == {"S-01": FIRST, "S-02": SECOND}
    assert [_hashed(store) < SHARE for store in ("S-01", "S-02")] == [False, True]
    with pytest.raises(NotAcceptedError, match="no evidence"):
        promote_on_evidence(walk.stores, SECOND, channel=DAILY.champion, **WHO)
    assert walk.kinds() == []


def weigh_until_it_is_shown(walk: Walk) -> None:
    decision, highest, kinds = "collecting", 0.0, set[str]()
    while decision != "better":
        assert walk.stops[0] < LENGTH.shift, f"not shown to be better in time: {decision}, e-value {highest}"
        walk.go_on()
        kinds |= {*walk.kinds()}
        assert walk.followed() == {"S-01": FIRST, "S-02": SECOND}
        verdicts = "SELECT decision, highest_e_value FROM audit.challenger_verdicts ORDER BY sequence"
        decision, highest = walk.view(verdicts)[-1]
    assert kinds == {"ingest", "publish", "assign", "measure", "weigh", "drift"}
    assert highest >= 1.0 / LENGTH.rules["level"]
    evidence = walk.view(
        "SELECT bool_or(is_significant), min(target_date) FROM audit.challenger_evidence "
        "WHERE is_deciding AND is_newest"
    )
    assert evidence == [(True, walk.start + timedelta(days=1))]


def promote_on_what_was_shown(walk: Walk) -> None:
    shown = walk.launched("promotion", "promotions", model_version=SECOND, on_evidence=True, **WHO)
    assert walk.kinds() == ["judge", "promote"]
    [(reason,)] = walk.view("SELECT reason FROM audit.channel_history WHERE sequence = ?", shown["ledger_sequence"])
    [(verdict,)] = walk.view("SELECT max(sequence) FROM audit.challenger_verdicts WHERE decision = 'better'")
    assert reason == f"the walk (on the evidence of ledger entry {verdict})"
    walk.runner.assign(DAILY.name)
    assert walk.kinds() == ["assign"]
    assert walk.followed() == {"S-01": SECOND, "S-02": SECOND}
    assert walk.channels() == {"champion": SECOND, "challenger": SECOND}


def train_anew_as_sales_rise(walk: Walk) -> RetrainingOutcome:
    """That they rise is told, opens an item, and is learned once two weeks of it are known."""
    rises = walk.start + timedelta(days=LENGTH.shift)
    outcome = walk.runner.retrain()
    assert isinstance(outcome.trained, str), "nothing is due before"
    while isinstance(outcome.trained, str):
        assert walk.stops, f"nothing was trained in time: {outcome.trained}"
        # The day before sales rise is looked at, and then every day.
        quiet = sum(stop < LENGTH.shift for stop in walk.stops)
        walk.go_on(max(min(LENGTH.pace, quiet), 1))
        if walk.day < rises:
            continue
        outcome = walk.runner.retrain()
    told = walk.view(
        "SELECT since, size FROM audit.drift_reports WHERE prediction_date = ? AND is_newest AND verdict = 'changed' "
        "AND subject = 'feed' AND name = 'sales' AND figure = 'sales_units' AND scope = 'all'",
        walk.day,
    )
    assert [since >= rises - timedelta(days=3) and 0.1 < size < 0.5 for since, size in told] == [True]
    steps = walk.view('SELECT status, is_present, "by" FROM audit.backlog WHERE signal = ? ORDER BY sequence', SIGNAL)
    assert steps[-1] == ("open", True, "automation")
    assert walk.kinds()[-3:] == ["register", "judge", "challenge"]
    return outcome


def challenge_by_rule(walk: Walk, outcome: RetrainingOutcome) -> str:
    """Whoever is trained by rule becomes the challenger, whom no store follows; the champion stays."""
    begun, third = outcome.challenger, f"auto-statistical-{walk.day}"
    assert isinstance(outcome.trained, DueTraining)
    assert outcome.trained.request.model_version == third
    assert outcome.trained.reason.startswith("drift, item ")
    assert isinstance(begun, Challenge), begun
    assert (begun.model_version, begun.champion_version, begun.share, begun.by) == (third, SECOND, 0.0, "automation")
    assert "of the backlog" in begun.reason
    assert walk.channels() == {"champion": SECOND, "challenger": third}
    walk.publish()
    # The trial is another one, for which the champion's run is assigned; and again once the challenger's is there.
    assert walk.kinds() == ["assign", "publish", "assign"]
    assert walk.followed() == {"S-01": SECOND, "S-02": SECOND}
    return third


def go_back(walk: Walk, third: str) -> None:
    """At once, to what the former champion published of the same day; nothing that is published changes."""
    published = "SELECT publication_key, forecasts_version, ledger_sequence FROM audit.publications"
    before = walk.view(published)
    shown = walk.launched("rollback", "rollbacks", channel=DAILY.champion, **WHO)
    assert walk.kinds() == ["rollback"]
    assert f"champion is now {FIRST}, was {SECOND}" in shown["what"]
    walk.runner.assign(DAILY.name)
    assert walk.kinds() == ["assign"]
    assert walk.followed() == {"S-01": FIRST, "S-02": FIRST}
    assert walk.channels() == {"champion": FIRST, "challenger": third}
    moves = "SELECT model_version, is_rollback FROM audit.channel_history WHERE channel = 'champion' ORDER BY sequence"
    assert walk.view(moves) == [(FIRST, False), (SECOND, False), (FIRST, True)]
    while walk.stops:
        walk.go_on(LENGTH.pace)
        assert walk.followed() == {"S-01": FIRST, "S-02": FIRST}
    assert {*before} <= {*walk.view(published)}


def _hashed(store: str) -> float:
    return int(sha256(f"{SALT}\0{store}".encode()).hexdigest()[:13], 16) / 16**13
