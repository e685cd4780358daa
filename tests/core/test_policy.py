"""The policy: what it may say, and what two of them differ in."""

from dataclasses import fields

import pytest

from forecast_assets.core.errors import InputError
from forecast_assets.core.policy import (
    DEFAULT_POLICY,
    MERIT_GATES,
    Policy,
    document_version,
    flat_values,
    known_policy,
    meaning_of,
    policy_changes,
)
from forecast_assets.models.artifact import RISK_THRESHOLDS
from forecast_assets.models.gates import COVERAGE, COVERAGE_TOLERANCE, LARGEST_BIAS


def test_without_a_policy_the_bounds_are_those_that_versions_were_registered_by() -> None:
    gates = DEFAULT_POLICY.gates
    assert (gates.largest_wape_less_naive, gates.largest_bias) == (0.0, LARGEST_BIAS)
    assert (DEFAULT_POLICY.calibration.coverage_80, gates.largest_coverage_miss) == (COVERAGE, COVERAGE_TOLERANCE)
    assert vars(DEFAULT_POLICY.risk_bands) == dict(RISK_THRESHOLDS)
    assert DEFAULT_POLICY.overrides.allowed == ()


def test_the_version_follows_from_the_values_and_nothing_else() -> None:
    changed = DEFAULT_POLICY.with_changes({"gates.largest_bias": 0.08, "risk_bands.high": 0.25})
    again = DEFAULT_POLICY.with_changes({"risk_bands.high": 0.25}).with_changes({"gates.largest_bias": 0.08})
    assert changed.version == again.version == document_version(changed.document)
    assert changed.version != DEFAULT_POLICY.version
    assert changed.with_changes({"gates.largest_bias": 0.1, "risk_bands.high": 0.2}) == DEFAULT_POLICY


def test_a_document_is_read_as_it_was_written() -> None:
    made = DEFAULT_POLICY.with_changes({"overrides.allowed": ["coverage_is_right", "bias_is_small"]})
    assert made.overrides.allowed == ("bias_is_small", "coverage_is_right"), "in one order, so that one is one"
    assert known_policy(made.document) == made


def test_a_document_of_another_release_is_read_as_far_as_it_is_known() -> None:
    document = {**DEFAULT_POLICY.document, "challengers": {"share": 0.1}, "risk_bands": {"high": 0.3, "extreme": 0.9}}
    assert known_policy(document) == DEFAULT_POLICY.with_changes({"risk_bands.high": 0.3})


def test_changes_are_named_in_the_order_of_the_document_and_can_be_made_again() -> None:
    after = DEFAULT_POLICY.with_changes({"calibration.coverage_80": 0.85, "gates.largest_bias": 0.08})
    changes = policy_changes(DEFAULT_POLICY, after)
    assert [(each.name, each.before, each.after) for each in changes] == [
        ("gates.largest_bias", 0.1, 0.08), ("calibration.coverage_80", 0.8, 0.85),
    ]  # fmt: skip
    assert DEFAULT_POLICY.with_changes({each.name: each.after for each in changes}) == after
    assert policy_changes(after, after) == []


@pytest.mark.parametrize("name", DEFAULT_POLICY.values)
def test_every_value_says_what_it_means_and_its_default_lies_within_its_bounds(name: str) -> None:
    assert meaning_of(name)
    assert DEFAULT_POLICY.with_changes({name: DEFAULT_POLICY.values[name]}) == DEFAULT_POLICY


def test_every_bound_of_a_gate_names_a_gate() -> None:
    named = [meaning_of(f"gates.{each.name}") for each in fields(DEFAULT_POLICY.gates)]
    assert all(sum(f"`{gate}`" in meaning for meaning in named) == 1 for gate in MERIT_GATES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gates.largst_bias": 0.08}, r"The policy has no `gates\.largst_bias`\. Its keys are: .*gates\.largest_bias"),
        ({"gates.largest_bias": 80}, r"`gates\.largest_bias` cannot be 80: bias .* from 0\.001 to 0\.5\."),
        ({"gates.largest_bias": "much"}, "cannot be 'much'"),
        ({"gates.largest_bias": True}, "cannot be True"),
        ({"gates.largest_bias": float("nan")}, "cannot be nan"),
        ({"gates.largest_wape_less_naive": 0.01}, "from -1 to 0"),
        ({"risk_bands.high": 0.04}, r"Risk bands do not rise: moderate from 0\.05, high from 0\.04"),
        ({"risk_bands.high": 0.5}, "Risk bands do not rise"),
        ({"risk_bands.moderate": 0.0}, "Risk bands do not rise"),
        ({"overrides.allowed": ["lineage_is_complete"]}, "gates of soundness never"),
        ({"overrides.allowed": "bias_is_small"}, "is a list of gates"),
    ],
)
def test_what_a_policy_cannot_say_is_named_with_what_it_can(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Policy().with_changes(changes)


def test_a_value_outside_of_a_section_is_named() -> None:
    with pytest.raises(InputError, match=r"no `largest_bias` outside of its sections\. Put it below one of \[gates\]"):
        flat_values({"largest_bias": 0.08})
