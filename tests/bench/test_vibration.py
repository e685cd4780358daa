"""The example of anomalies: figures of a window, and a fault that shows in them."""

import numpy as np
import pytest

from bench.vibration import FEATURES, RATE, features, machines, window


def test_figures_of_a_sine_are_those_of_the_books() -> None:
    found = features(np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE))
    assert tuple(found) == FEATURES
    assert found["rms"] == pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert found["crest"] == pytest.approx(np.sqrt(2), abs=1e-3)
    assert found["kurtosis"] == pytest.approx(1.5, abs=1e-6)
    assert found["centroid"] == pytest.approx(100, abs=1e-3)
    assert found["envelope_rms"] == pytest.approx(0, abs=1e-6)


def test_a_fault_that_grows_makes_windows_spikier() -> None:
    random = np.random.default_rng(1)
    kurtosis = [
        np.mean([features(window(random, 1.0, 0.7, fault, 0))["kurtosis"] for _ in range(5)]) for fault in (0, 0.5, 1)
    ]
    assert kurtosis[0] < kurtosis[1] < kurtosis[2]


def test_only_machines_that_fail_have_a_fault_and_it_lasts_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.vibration.MACHINES", 1)
    monkeypatch.setattr("bench.vibration.WINDOWS", 30)
    monkeypatch.setattr("bench.vibration.ONSETS", (10, 11))
    usual = machines(np.random.default_rng(2), is_failing=False)
    failing = machines(np.random.default_rng(2), is_failing=True)
    assert usual["fault"].sum() == 0
    assert failing["fault"].to_list() == [0] * 11 + [1] * 19
