"""Learned shares against factors that errors were drawn from."""

import json
from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import InputError
from forecast_assets.models.sample_paths.dependence import OWN, CutoffErrors, Dependence, NodeErrors, learn_dependence

STORES, GROUPS, EACH, HORIZON = 12, 6, 5, 28
COUNT = STORES * GROUPS * EACH
STORE, GROUP = np.repeat(np.arange(STORES), GROUPS * EACH), np.tile(np.repeat(np.arange(GROUPS), EACH), STORES)
NODES = {
    "all": np.zeros(COUNT, dtype=np.int64),
    "store": STORE,
    "group": GROUP,
    "group x store": STORE * GROUPS + GROUP,
}


def errors(lasting: dict[str, float], daily: dict[str, float], seed: int, moment: Floats) -> CutoffErrors:
    random = np.random.default_rng(seed)
    score = np.zeros((COUNT, HORIZON))
    for name, share in lasting.items():
        node = np.arange(COUNT) if name == OWN else NODES[name]
        score += share**0.5 * random.normal(size=(node.max() + 1, 1))[node]
    for name, share in daily.items():
        score += share**0.5 * random.normal(size=(NODES[name].max() + 1, HORIZON))[NODES[name]]
    rest = 1 - sum(lasting.values()) - sum(daily.values())
    score += rest**0.5 * random.normal(size=score.shape)
    return CutoffErrors(moment * score, moment, NODES)


MOMENT = np.random.default_rng(0).gamma(2.0, 1.0, (COUNT, 1)) * np.ones(HORIZON)


def test_shares_are_found() -> None:
    """Of forty cutoffs, so that little is chance."""
    lasting, daily = {"group x store": 0.1, OWN: 0.1}, {"all": 0.05, "store": 0.08}
    found = learn_dependence([errors(lasting, daily, seed, MOMENT) for seed in range(40)])
    for name in (*NODES, OWN):
        assert found.lasting.get(name, 0.0) == pytest.approx(lasting.get(name, 0.0), abs=0.015)
        assert found.daily.get(name, 0.0) == pytest.approx(daily.get(name, 0.0), abs=0.015)


def test_independent_errors_have_hardly_any_share() -> None:
    found = learn_dependence([errors({}, {}, seed, MOMENT) for seed in range(5)])
    assert found.rest > 0.98


def test_unknown_days_are_left_out() -> None:
    lasting, daily = {OWN: 0.2}, {"store": 0.2}
    cases = [errors(lasting, daily, seed, MOMENT) for seed in range(20)]
    for number, case in enumerate(cases):
        case.error[np.random.default_rng(number).random(case.error.shape) < 0.4] = np.nan
    found = learn_dependence(cases)
    assert found.daily["store"] == pytest.approx(0.2, abs=0.03)
    assert found.lasting[OWN] == pytest.approx(0.2, abs=0.03)


def test_what_is_said_of_nodes_stands_for_the_sums_of_their_series() -> None:
    """Stores are forecast by themselves and never missed: what their series have in common is gone from the sums."""
    cases = [errors({OWN: 0.1}, {"store": 0.2}, seed, MOMENT) for seed in range(20)]
    few = np.where(STORE < 4, STORE, -1)
    sums = [np.stack([case.error[at == STORE].sum(axis=0) for at in range(4)]) for case in cases]
    exact = [
        replace(case, of_nodes={"store": NodeErrors(few, 0.1 * missed)})
        for case, missed in zip(cases, sums, strict=True)
    ]
    assert learn_dependence(cases).daily["store"] == pytest.approx(0.2, abs=0.03)
    assert learn_dependence(exact).daily.get("store", 0.0) < 0.02


def test_errors_that_are_all_the_same_leave_something_to_each_day() -> None:
    same = CutoffErrors(np.ones((COUNT, HORIZON)), np.full((COUNT, HORIZON), 0.1), NODES)
    found = learn_dependence([same])
    assert 0.0 < found.rest < 0.05


def test_without_a_cutoff_or_a_known_day_there_is_none() -> None:
    nothing = CutoffErrors(np.full((COUNT, 2), np.nan), np.ones((COUNT, 2)), NODES)
    assert learn_dependence([]) == learn_dependence([nothing]) == Dependence.none()


def test_a_level_without_errors_borrows_from_the_finest_above_that_has_some() -> None:
    """Of each group in a store one series has errors, so that it cannot be told from the series by itself."""
    lasting, daily = {"group": 0.1}, {"store": 0.15}
    cases = [errors(lasting, daily, seed, MOMENT) for seed in range(30)]
    for case in cases:
        case.error[np.arange(COUNT) % EACH > 0] = np.nan
    found = learn_dependence(cases)
    # There are twelve stores and six groups: a store is the finer of the two.
    assert found.borrowed == {"group x store": "store"}
    assert "group x store" not in {*found.lasting, *found.daily}
    assert found.daily["store"] == pytest.approx(0.15, abs=0.04)
    assert found.lasting["group"] == pytest.approx(0.1, abs=0.04)


def test_levels_of_one_series_are_the_series_itself() -> None:
    one = errors({OWN: 0.5}, {}, 1, MOMENT)
    few = {level: node[:1] - node[:1] for level, node in NODES.items()}
    found = learn_dependence([CutoffErrors(one.error[:1], one.moment[:1], few)])
    assert (set(found.lasting) | set(found.daily)) <= {OWN}
    assert found.borrowed == dict.fromkeys(NODES, OWN)


def test_it_survives_json() -> None:
    found = learn_dependence([errors({OWN: 0.2}, {"store": 0.1}, 1, MOMENT)])
    assert set(found.to_data()) == {"lasting", "daily"}
    borrowing = replace(found, borrowed={"group x store": "store"})
    for each in (found, borrowing):
        assert Dependence.from_data(json.loads(json.dumps(each.to_data()))) == each


@pytest.mark.parametrize(
    "data",
    [
        {"lasting": {"all": -0.1}, "daily": {}},
        {"lasting": {"all": 0.7}, "daily": {"all": 0.4}},
        {"lasting": {}, "daily": {OWN: 0.1}},
    ],
)
def test_shares_that_cannot_be_are_refused(data: dict[str, dict[str, float]]) -> None:
    with pytest.raises(InputError, match="shares"):
        Dependence.from_data(data)
