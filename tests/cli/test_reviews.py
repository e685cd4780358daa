"""`review` as an operator types it: shifts, what is proposed, and applying it by the line that it prints."""

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forecast_assets.cli import cli
from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.operations.policies import policy_in_force
from forecast_assets.presentation.actions import error_text
from resources.ledger.entries.review import WeekReviews
from resources.stores.home import Stores, open_stores
from tests.support.review_cases import FIRST_DAY, measure_weeks
from tests.support.trial_cases import CHALLENGER, Said, both, measured, with_champion


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    return with_champion(open_stores(tmp_path / "home/store"))


def called(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def said(*arguments: str) -> str:
    result = called(*arguments)
    assert result.exception is None, result.exception
    return result.output


def refused(*arguments: str) -> tuple[int, str]:
    error = called(*arguments).exception
    assert isinstance(error, ForecastAssetsError), error
    return exit_code(type(error)), error_text(error)


def test_a_week_is_reviewed_and_its_proposal_applied_by_commands_alone(stores: Stores, tmp_path: Path) -> None:
    noise = (-4.0, 3.0, 1.0, -1.0, 60.0)
    measure_weeks(stores, lambda week, _: Said(100.0 + noise[week], inside=0.73))
    told = said("review", "--out", "review.html")
    assert "Week 2025-W06 of daily runs of stat-1: 2 of 7 days measured" in told
    (wape,) = (line for line in told.splitlines() if line.startswith("wape  ") and " all " in line)
    assert ("0.160" in wape, "+0.060" in wape, "shifted" in wape) == (True, True, True)
    assert "The backlog is empty." in told
    assert ["gates.largest_coverage_miss", "0.1", "0.05"] in [line.split() for line in told.splitlines()]
    page = (tmp_path / "review.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "data:image/png" in page
    (line,) = (line for line in told.splitlines() if line.startswith("forecast-assets policy apply"))
    assert line == (
        'forecast-assets policy apply --set gates.largest_coverage_miss=0.05 --by NAME --reason "review of 2025-W06"'
    )
    assert policy_in_force(stores.ledger).policy.gates.largest_coverage_miss == 0.1, "nothing is applied by itself"
    assert "is in force from now on" in said(*shlex.split(line.replace("NAME", "ana"))[1:])
    again = said("review", "--week", "2025-W06")
    assert "No change of the policy is proposed." in again
    assert "beyond bound" in again
    weeks = open_stores(tmp_path / "home/store").ledger.state().part(WeekReviews).by_week["daily", "2025-W06"]
    assert len(weeks) == 2, "bounds of another policy are another review"
    assert said("review", "--week", "2025-W06").splitlines()[0] == again.splitlines()[0], "the same is recorded once"
    assert "2025-W06 of daily runs reviewed" in said("log")


def test_a_challenger_is_shown_beside_the_champion(stores: Stores) -> None:

    stores.registry.promote(CHALLENGER, channel="challenger", by="ana", reason="to be compared")
    measured(stores, FIRST_DAY, both(Said(), Said(80.0), (1,)))
    told = said("review", "--week", "2025-W02")
    assert "Champion against challenger, on 1 day on which both were measured" in told
    assert ["wape", "0.100", "0.080"] in [line.split() for line in told.splitlines()]
    assert "No change of the policy is proposed." in told


@pytest.mark.usefixtures("stores")
def test_what_cannot_be_reviewed_is_told_with_what_to_do() -> None:
    code, why = refused("review")
    assert (code, "forecast-assets accuracy" in why) == (3, True)
    code, why = refused("review", "--week", "2025-W60")
    assert (code, "is no ISO week" in why) == (2, True)
    code, why = refused("review", "--week", "2999-W01")
    assert (code, "is not over" in why) == (2, True)
    assert refused("review", "--out", "review.txt")[0] == 2
