"""The policy: bounds of gates, risk bands, targets, uses of real time and rules of planning, as one document.

What belongs here: the sections with what each number means and may be, reading a document, and what two of them differ
in. What does not: which policy is in force (`resources.ledger.entries.policy`), or holding anything against it.

A policy is a small document of named values, `section.key`, so that a change can be said in one line and proposed by
whoever sees a reason for it. Its version is the hash of its values. A key that a later release adds has as its default
what held before.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from math import isfinite
from typing import Any, Final

from forecast_assets.core.errors import InputError, first_ten

# Gates of merit: how good a version is. An entry of the policy may allow to override one; no policy can allow it of a
# gate of soundness, which all others are.
MERIT_GATES: Final = (
    "beats_seasonal_naive", "not_worse_than_champion", "bias_is_small", "bias_of_levels_is_small", "coverage_is_right",
    "stable_between_runs", "inputs_are_familiar", "risk_is_reliable",
)  # fmt: skip
_GATES_OF_MERIT: Final = f"Gates of merit are: {', '.join(MERIT_GATES)}."
# What real time may be asked for where nobody has approved more.
USES: Final = ("emergency_replenishment", "stockout_check", "what_if")
_USE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_UPLIFT: Final = re.compile(r".+@[^:=@]+:[^=@]+=(-(100|\d{1,2})|[+]?\d{1,4})(\.\d{1,6})?")
_PRESENTATION: Final = re.compile(r"[^:=@]+:[^=@]+=\d{1,6}(\.\d{1,6})?")
_VERSION_DIGITS: Final = 12

PolicyValue = float | tuple[str, ...]


def _number(default: float, least: float, most: float, meaning: str) -> Any:
    def parse(name: str, said: Any) -> float:
        is_number = isinstance(said, int | float) and not isinstance(said, bool) and isfinite(said)
        if not is_number or not least <= said <= most:
            raise InputError(
                f"`{name}` cannot be {said!r}: {meaning}.",
                remedy=f"Give a number from {least:g} to {most:g}.",
                key=name,
                value=str(said),
            )
        return float(said)

    return field(default=default, metadata={"meaning": f"{meaning}; {least:g} to {most:g}", "parse": parse})


def _names(default: tuple[str, ...], meaning: str, parse: Callable[[str, Any], tuple[str, ...]]) -> Any:
    return field(default=default, metadata={"meaning": meaning, "parse": parse})


def _gate_names(name: str, said: Any) -> tuple[str, ...]:
    if isinstance(said, str) or not isinstance(said, Sequence) or not all(isinstance(each, str) for each in said):
        raise InputError(f"`{name}` is a list of gates, not {said!r}.", remedy=_GATES_OF_MERIT, key=name)
    others = sorted({*said} - {*MERIT_GATES})
    if others:
        raise InputError(
            f"`{name}` cannot have {first_ten(f'`{each}`' for each in others)}: only gates of merit can be overridden, "
            "gates of soundness never.",
            remedy=_GATES_OF_MERIT,
            key=name,
            gates=others,
        )
    return tuple(gate for gate in MERIT_GATES if gate in said)


def _uses(name: str, said: Any) -> tuple[str, ...]:
    return _texts(name, said, _USE, "Name uses by lower-case letters, digits and underscores, such as `store_visit`.")


def _codes(name: str, said: Any) -> tuple[str, ...]:
    return _texts(
        name, said, _USE, "Name reasons by lower-case letters, digits and underscores, such as `local_event`."
    )


def _uplifts(name: str, said: Any) -> tuple[str, ...]:
    return _one_each(name, _texts(name, said, _UPLIFT, "Write each as `midsummer@category:dairy=20`, from -100."))


def _presentations(name: str, said: Any) -> tuple[str, ...]:
    return _one_each(name, _texts(name, said, _PRESENTATION, "Write each as `category:dairy=2`, in units a day."))


def _one_each(name: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse two values of the same node and event: both would count."""
    nodes = [text.rpartition("=")[0] for text in texts]
    twice = sorted({node for node in nodes if nodes.count(node) > 1})
    if twice:
        raise InputError(
            f"`{name}` has {first_ten(f'`{node}`' for node in twice)} more than once.",
            remedy="Leave one of each.",
            key=name,
        )
    return texts


def _texts(name: str, said: Any, form: re.Pattern[str], remedy: str) -> tuple[str, ...]:
    is_list = isinstance(said, Sequence) and not isinstance(said, str)
    wrong = [each for each in said if not isinstance(each, str) or not form.fullmatch(each)] if is_list else [said]
    if wrong:
        raise InputError(f"`{name}` cannot have {first_ten(repr(each) for each in wrong)}.", remedy=remedy, key=name)
    return tuple(sorted({*said}))


@dataclass(frozen=True)
class ProductRule:
    """A rule for the series of a product node.

    Attributes:
        event: Name of the event on whose days it holds; empty where it holds every day.
        level: `total`, a level of the product hierarchy, or `sku`.
        node: Node of that level.
        value: Percent, or units a day of each series, as a decimal number.
    """

    event: str
    level: str
    node: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "ProductRule":
        """Read a value of the policy.

        Example:
            >>> ProductRule.parse("midsummer@category:dairy=20")
            ProductRule(event='midsummer', level='category', node='dairy', value='20')
        """
        of, _, value = text.rpartition("=")
        event, _, node = of.rpartition("@")
        level, _, name = node.partition(":")
        return cls(event, level, name, value)


@dataclass(frozen=True)
class GateBounds:
    """Section `gates`: what a version has to show before a channel points at it."""

    largest_wape_less_naive: float = _number(
        0.0, -1.0, 0.0, "WAPE less that of seasonal naive has to be below this (`beats_seasonal_naive`)"
    )
    largest_wape_over_champion: float = _number(
        0.05, 0.0, 1.0, "share by which WAPE may be above the champion's, on the same days (`not_worse_than_champion`)"
    )
    largest_segment_wape_over_champion: float = _number(0.1, 0.0, 1.0, "the same of each important segment")
    important_segment_share: float = _number(0.1, 0.01, 1.0, "share of all rows from which on a segment is important")
    largest_bias: float = _number(0.1, 0.001, 0.5, "bias in either direction (`bias_is_small`)")
    largest_level_bias: float = _number(
        0.2,
        0.001,
        0.5,
        "bias of a level, and of each important node of the widest ones, in either direction "
        "(`bias_of_levels_is_small`)",
    )
    largest_coverage_miss: float = _number(
        0.1, 0.005, 0.3, "how far coverage may be from its target in either direction (`coverage_is_right`)"
    )
    largest_instability: float = _number(
        0.3, 0.01, 2.0, "mean change of a day's forecast from one run to the next, over it (`stable_between_runs`)"
    )
    largest_out_of_distribution_share: float = _number(
        0.05, 0.0, 1.0, "share of rows with inputs unlike those of training (`inputs_are_familiar`)"
    )
    largest_risk_calibration_error: float = _number(
        0.1, 0.001, 0.5, "mean distance of stock-out probabilities from what came (`risk_is_reliable`)"
    )


@dataclass(frozen=True)
class OverrideRules:
    """Section `overrides`: which gates of merit somebody may override, with name and reason."""

    allowed: tuple[str, ...] = _names(
        (), f"gates of merit that may be overridden; of {', '.join(MERIT_GATES)}", _gate_names
    )


@dataclass(frozen=True)
class RiskBands:
    """Section `risk_bands`: the lowest stock-out probability of each band above `low`."""

    moderate: float = _number(0.05, 0.0, 1.0, "lowest probability of the band")
    high: float = _number(0.2, 0.0, 1.0, "lowest probability of the band")
    critical: float = _number(0.5, 0.0, 1.0, "lowest probability of the band")


@dataclass(frozen=True)
class CalibrationTargets:
    """Section `calibration`: what intervals are to cover."""

    coverage_80: float = _number(0.8, 0.6, 0.95, "share of days that the central 80% interval is to hold")


@dataclass(frozen=True)
class RealTimeRules:
    """Section `real_time`: what predictions in real time may be used for."""

    uses: tuple[str, ...] = _names(USES, "uses that are approved, sorted", _uses)


@dataclass(frozen=True)
class PlanningRules:
    """Section `planning`: what planners may say of forecasts, and rules that move them."""

    reasons: tuple[str, ...] = _names(
        ("assortment", "competitor", "event", "other", "price_change", "promotion", "supply", "weather"),
        "codes of reasons that an override may have, sorted; `delisted` and `not_yet_listed` always may",
        _codes,
    )
    needs_approval: float = _number(0.0, 0.0, 1.0, "1 where a second person has to approve each override, else 0")
    largest_change_percent: float = _number(
        200.0, 1.0, 100_000.0, "change of a node's forecast, in percent, above which an override has to be confirmed"
    )
    event_uplifts: tuple[str, ...] = _names(
        (), "uplifts of events, each as EVENT@LEVEL:NODE=PERCENT, LEVEL a product level or `total:total`", _uplifts
    )
    minimum_presentation: tuple[str, ...] = _names(
        (), "least units a day of each series of a product node, each as LEVEL:NODE=UNITS", _presentations
    )


@dataclass(frozen=True)
class Policy:
    """A whole policy; without arguments the one that holds where nobody has applied any.

    Example:
        >>> Policy().with_changes({"gates.largest_bias": 0.08}).gates.largest_bias
        0.08

    Attributes:
        gates: Bounds of gates.
        overrides: Which gates may be overridden.
        risk_bands: Where bands of stock-out risk begin.
        calibration: Targets of calibration.
        real_time: Which uses of real time are approved.
        planning: What planners may say of forecasts, and rules that move them.
    """

    gates: GateBounds = GateBounds()
    overrides: OverrideRules = OverrideRules()
    risk_bands: RiskBands = RiskBands()
    calibration: CalibrationTargets = CalibrationTargets()
    real_time: RealTimeRules = RealTimeRules()
    planning: PlanningRules = PlanningRules()

    @property
    def document(self) -> dict[str, dict[str, Any]]:
        """The values as JSON and TOML hold them, by section and key."""
        return {
            section: {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
            for section, values in asdict(self).items()
        }

    @property
    def values(self) -> dict[str, PolicyValue]:
        """The values by `section.key`, in the order of the document."""
        return {f"{section}.{key}": value for section, values in asdict(self).items() for key, value in values.items()}

    @property
    def version(self) -> str:
        """What the policy is called: the first digits of the SHA-256 of its document."""
        return document_version(self.document)

    def with_changes(self, changes: Mapping[str, Any]) -> "Policy":
        """Return the policy with other values.

        Args:
            changes: By `section.key`.

        Raises:
            InputError: If there is no such key, or a value is none that it may have.
        """
        unknown = [name for name in changes if name not in self.values]
        if unknown:
            raise InputError(
                f"The policy has no {first_ten(f'`{name}`' for name in unknown)}.",
                remedy=f"Its keys are: {', '.join(self.values)}.",
                unknown=unknown,
            )
        sections = vars(self).copy()
        for name, said in changes.items():
            section, key = name.split(".")
            sections[section] = replace(sections[section], **{key: _value(name, said)})
        return _sound(Policy(**sections))


DEFAULT_POLICY: Final = Policy()


@dataclass(frozen=True)
class PolicyChange:
    """A value in which two policies differ.

    Attributes:
        name: `section.key`.
        before: In the first.
        after: In the second.
    """

    name: str
    before: PolicyValue
    after: PolicyValue


def policy_changes(before: Policy, after: Policy) -> list[PolicyChange]:
    """Return what two policies differ in, in the order of the document.

    Example:
        >>> [change] = policy_changes(Policy(), Policy().with_changes({"risk_bands.high": 0.25}))
        >>> change.name, change.before, change.after
        ('risk_bands.high', 0.2, 0.25)
    """
    values = after.values
    return [PolicyChange(name, old, values[name]) for name, old in before.values.items() if values[name] != old]


def flat_values(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a document, or of a part of one, by `section.key`.

    Raises:
        InputError: If a section is no table of keys.
    """
    loose = [name for name, section in document.items() if not isinstance(section, Mapping)]
    if loose:
        raise InputError(
            f"The policy has no {first_ten(f'`{name}`' for name in loose)} outside of its sections.",
            remedy=f"Put it below one of {', '.join(f'[{each.name}]' for each in fields(Policy))}.",
            unknown=loose,
        )
    return {f"{section}.{key}": value for section, keys in document.items() for key, value in keys.items()}


def known_policy(document: Mapping[str, Any]) -> Policy:
    """Return the policy of a stored document: keys of later releases are left out, missing ones as by default."""
    known = DEFAULT_POLICY.values
    return DEFAULT_POLICY.with_changes({name: each for name, each in flat_values(document).items() if name in known})


def document_version(document: Mapping[str, Any]) -> str:
    """Return what the policy of a document is called."""
    data = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return hashlib.sha256(data).hexdigest()[:_VERSION_DIGITS]


def meaning_of(name: str) -> str:
    """Return what a value means and between what it may lie.

    Example:
        >>> meaning_of("calibration.coverage_80")
        'share of days that the central 80% interval is to hold; 0.6 to 0.95'
    """
    meaning: str = _metadata(name)["meaning"]
    return meaning


def _metadata(name: str) -> Mapping[str, Any]:
    section, key = name.split(".")
    return next(each.metadata for each in fields(getattr(DEFAULT_POLICY, section)) if each.name == key)


def _value(name: str, said: Any) -> PolicyValue:
    """Return a value as it is kept, unless it is none that its key may have."""
    parsed: PolicyValue = _metadata(name)["parse"](name, said)
    return parsed


def _sound(policy: Policy) -> Policy:
    """Return a policy whose values fit together."""
    bands = vars(policy.risk_bands)
    if any(low >= high for low, high in pairwise(bands.values())) or not bands["moderate"] > 0.0:
        raise InputError(
            f"Risk bands do not rise: {', '.join(f'{name} from {lowest:g}' for name, lowest in bands.items())}.",
            remedy="Let each band begin above the one before it, the first above 0.",
            key="risk_bands",
        )
    return policy
