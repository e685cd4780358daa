"""The table of several cutoffs: its figures by hand, what is recorded, and the command as a whole."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import skill
from bench.candidates import Made
from bench.figures import auc, kind_of, mean_figure
from bench.promised import PROMISED
from bench.recorded import Recorded, record, recorded
from bench.skill import ablation_table, skill_table
from forecast_assets.core.errors import InputError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "recorded.json"
    monkeypatch.setattr("bench.recorded.RECORDED", path)
    return path


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    random = np.random.default_rng(1)
    score, happened = random.integers(0, 5, 60) / 4, random.random(60) < 0.4
    pairs = score[happened][:, None] - score[~happened][None]
    assert auc(score, happened) == pytest.approx((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def test_signed_figures_cancel_and_others_do_not() -> None:
    figures = [{"bias, total": 0.04, "size of bias, total": 0.04}, {"bias, total": -0.05, "size of bias, total": 0.05}]
    assert mean_figure(figures, "bias, total") == pytest.approx(0.005)
    assert mean_figure(figures, "size of bias, total") == pytest.approx(0.045)
    assert np.isnan(mean_figure(figures, "WAPE"))


def test_the_table_shows_the_ratio_to_what_is_recorded_of_the_same_cutoffs(file: Path) -> None:
    record("combined", {"m5 one": {"WAPE": 0.4}, "m5 two": {"WAPE": 0.2}}, "abc")
    record("tweedie", {"m5 one": {"WAPE": 0.6}}, "abc")
    assert recorded().commit == "abc"
    text = skill_table("new", {"m5 one": {"WAPE": 0.2}, "m5 two": {"WAPE": 0.1}}, recorded())
    assert "combined, abc" in text
    assert [each.split() for each in text.splitlines() if each.startswith("WAPE")] == [
        ["WAPE", "0.1500", "0.3000", "0.500", "-", "-"]
    ]
    assert json.loads(file.read_text())["figures"]["tweedie"] == {"m5 one": {"WAPE": 0.6}}


@pytest.mark.usefixtures("file")
def test_cutoffs_that_a_model_refused_are_left_out_on_both_sides() -> None:
    record("combined", {"m5 one": {"WAPE": 0.4}, "m5 two": {}}, "abc")
    held = recorded()
    assert held.beside("combined", {"m5 one": {"WAPE": 0.3}, "m5 two": {"WAPE": 9.0}}, "WAPE") == pytest.approx(
        (0.4, 0.75)
    )
    assert np.isnan(held.beside("combined", {"m5 three": {"WAPE": 0.3}}, "WAPE")).all()


def test_a_history_that_is_too_short_for_trees_is_told_and_not_judged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Case:
        def __init__(self, name: str) -> None:
            self.name = name

    def refusing(case: Case) -> Made:
        if case.name == "short":
            raise InputError("41 days are too few.", remedy="Wait.")
        return Made(np.ones((1, 1)), np.ones((1, 1)), None, 1.0)

    monkeypatch.setattr(skill, "model_named", lambda *_, **__: refusing)
    monkeypatch.setattr(skill, "figures", lambda *_: {"WAPE": 0.5})
    found = skill.judged([Case("short"), Case("long")], "combined")  # type: ignore[list-item]
    assert found == {"combined": {"short": {}, "long": {"WAPE": 0.5}}}
    assert "short, combined, refused: 41 days are too few." in capsys.readouterr().out


def test_an_ablation_says_how_many_times_as_large_figures_are_without_a_part() -> None:
    """One cutoff, which the model without events refused, counts on neither side."""
    text = ablation_table(
        {
            "new": {"m5 one": {"WAPE": 0.2, "bias, total": 0.0}, "m5 two": {"WAPE": 9.0, "bias, total": 0.5}},
            "new without events": {"m5 one": {"WAPE": 0.3, "bias, total": 0.1}, "m5 two": {}},
            "new without nodes": {"m5 one": {"WAPE": 0.1, "bias, total": 0.1}, "m5 two": {"WAPE": 8.0}},
        }
    )
    assert "1 cutoffs" in text
    assert "without events" in text
    rows = [line.split() for line in text.splitlines() if line.startswith(("WAPE", "bias"))]
    assert rows == [["WAPE", "0.2000", "1.500", "0.500"], ["bias,", "total", "0.0000", "-", "-"]]


@pytest.mark.usefixtures("file")
def test_what_is_measured_against_does_not_change() -> None:
    record("combined", {"m5 one": {"WAPE": 0.4}}, "abc")
    with pytest.raises(ValueError, match="holds figures of abc"):
        record("combined", {"m5 one": {"WAPE": 0.3}}, "def")
    assert recorded() == Recorded("abc", {"combined": {"m5 one": {"WAPE": 0.4}}})


@pytest.mark.usefixtures("file")
def test_the_command_judges_a_model_with_and_without_a_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--items", "7", "--seeds", "1", "--days", "160", "--record", "abc"]
    command = ["skill", "--only", "m5", "--model", "statistical", "--without", "nodes", *sizes]
    monkeypatch.setattr(sys, "argv", command)
    assert skill.main() == 0
    text = capsys.readouterr().out
    assert "statistical: 1 cutoffs" in text
    assert "statistical without nodes: 1 cutoffs" in text
    assert "What each part brings" in text
    figures = recorded().figures["statistical"]["m5 70 seed 1 day 160"]
    assert 0.3 < figures["WRMSSE, 12 levels"] < 1.5
    assert {"payday factor error", "bias, group x store", "size of bias, total"} <= figures.keys()


def test_what_is_recorded_is_of_known_cases_and_models_and_complete() -> None:
    held = recorded()
    assert held.commit == "113b1d5"
    assert held.figures.keys() <= {"combined", "statistical", "tweedie"}
    for cases in held.figures.values():
        for name, figures in cases.items():
            over = {promise.figure for promise in PROMISED[kind_of(name)] if promise.over is not None}
            wanted = over if figures else set()
            assert wanted <= figures.keys()
            assert np.isfinite(list(figures.values())).all()
