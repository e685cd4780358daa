"""`gates`, `promote --override` and `policy` as an operator types them."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forecast_assets.cli import cli
from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.presentation.actions import error_text
from resources.stores.home import Stores, open_stores
from tests.support.store_cases import accept_training, ingest, register

DECISION = ("--by", "ana", "--reason", "a test")
BIAS = "backtest_bias_not_beyond_10_percent"


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    made = open_stores(tmp_path / "home/store")
    ingest(made)
    register(made, gates={"backtest_beats_seasonal_naive": True, BIAS: False}, horizon=90)
    accept_training(made)
    return made


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


def test_a_version_is_judged_refused_allowed_and_promoted_by_commands_alone(stores: Stores, tmp_path: Path) -> None:
    told = said("gates", "stat-1", "--out", "gates.html")
    assert "bias_is_small" in told
    assert "no daily channel may point at `stat-1`, it fails bias_is_small." in told
    assert (tmp_path / "gates.html").read_text().startswith("<!doctype html>")
    code, why = refused("promote", "stat-1", *DECISION)
    assert (code, "it fails bias_is_small. See figures and bounds: forecast-assets gates stat-1" in why) == (4, True)
    override = ("promote", "stat-1", "--override", "bias_is_small", *DECISION)
    code, why = refused(*override)
    assert (code, "bias_is_small cannot be overridden by policy" in why) == (4, True)
    assert "forecast-assets policy apply FILE --by NAME --reason TEXT" in why
    applied = said("policy", "apply", "--set", 'overrides.allowed=["bias_is_small"]', *DECISION)
    assert "overrides.allowed  none    bias_is_small" in applied
    assert "which is overridden: everything that it publishes says so." in said(*override)
    assert "stat-1, overriding bias_is_small" in said("versions")
    assert "nothing changed" in said(*override)
    before = stores.ledger.state().sequence
    assert "by policy" in said("gates", "stat-1", "--as-of", str(before)).lower()


def test_the_page_of_gates_overwrites_nothing(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "gates.html").write_text("mine")
    before = stores.ledger.state().sequence
    code, _ = refused("gates", "stat-1", "--out", "gates.html")
    assert (code, (tmp_path / "gates.html").read_text()) == (2, "mine")
    assert stores.ledger.state().sequence == before


def test_an_unknown_version_or_gate_is_named(stores: Stores) -> None:
    assert stores.ledger.state().sequence
    assert refused("gates", "stat-9")[0] == 2
    code, why = refused("promote", "stat-1", "--override", "bias", *DECISION)
    assert (code, "Gates of merit are: beats_seasonal_naive" in why) == (2, True)


def test_a_policy_is_shown_edited_compared_and_applied(stores: Stores, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(said("policy", "show"))
    assert "Nothing changes" in said("policy", "diff", "policy.toml")
    file.write_text(file.read_text().replace("high = 0.2\n", "high = 0.25\n"))
    assert said("policy", "diff", "policy.toml").split()[-3:] == ["risk_bands.high", "0.2", "0.25"]
    before = stores.ledger.state().sequence
    done = said("policy", "apply", "policy.toml", "--set", "gates.largest_bias=0.08", *DECISION)
    assert ("is in force from now on" in done, "gates.largest_bias" in done) == (True, True)
    assert "high = 0.25" in said("policy", "show")
    assert "high = 0.2\n" in said("policy", "show", "--as-of", str(before))
    later = said("policy", "apply", "--set", "gates.largest_bias=0.07", "--from", "2999-01-01", *DECISION)
    assert "is in force from 2999-01-01 on" in later
    assert "(not in force yet)" in said("policy", "show")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("diff",), "Name a file of TOML, or values with --set."),
        (("diff", "--set", "gates.largest_bias"), "is no change; write it as gates.largest_bias=0.08"),
        (("diff", "--set", "gates.largest_bias=0.08", "--from", "soon"), "is not a date"),
        (("apply", "--set", "gates.largest_bias=0.08", "--by", "ana"), "Missing option '--reason'"),
    ],
)
def test_what_cannot_be_parsed_is_a_usage_error(stores: Stores, arguments: tuple[str, ...], message: str) -> None:
    before = stores.ledger.state().sequence
    result = called("policy", *arguments)
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert stores.ledger.state().sequence == before


def test_what_a_policy_cannot_be_is_refused_with_what_it_can(stores: Stores) -> None:
    assert stores.ledger.state().sequence
    assert "Its keys are: " in refused("policy", "diff", "--set", "gates.largst_bias=0.08")[1]
    assert "from 0.001 to 0.5" in refused("policy", "diff", "--set", "gates.largest_bias=80")[1]
    past = refused("policy", "apply", "--set", "gates.largest_bias=0.08", "--from", "2020-01-01", *DECISION)
    assert (past[0], "cannot take effect on 2020-01-01" in past[1]) == (2, True)
