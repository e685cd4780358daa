"""What a mirror holds of a model version, in plain values.

What belongs here: the form in which a version is written to MLflow and read back. What does not: MLflow, or what a
version says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

RETIRED_TAG: Final = "retired_by_ledger_entry"
OVERRIDES_TAG: Final = "overrides"
PASSING_TAGS: Final = (RETIRED_TAG, OVERRIDES_TAG)


class MetricPoint(NamedTuple):
    """One value of a metric.

    Attributes:
        name: As MLflow allows it: letters, digits, `_ - . / :` and spaces.
        value: The value; never NaN.
        step: Place on a curve, such as days ahead; 0 for a metric that is one number.
    """

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class RunContent:
    """What the run of a model version says; it never changes.

    Attributes:
        name: The model version.
        description: In words.
        started_ms: When training began, milliseconds since 1970 in UTC.
        ended_ms: When the version was registered, likewise.
        params: What training was asked for, and what it decided.
        metrics: What its evaluation measured.
        tags: What it was made from and by.
    """

    name: str
    description: str
    started_ms: int
    ended_ms: int
    params: Mapping[str, str]
    metrics: tuple[MetricPoint, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class VersionContent:
    """What the registered version says, without what its run measured.

    Attributes:
        number: Its number, from 1, in the order of the ledger.
        name: The model version.
        tags: Those of the run, and what changes with channels and retirement. Tags of other names are somebody else's.
        aliases: Names of the channels that point at it.
    """

    number: int
    name: str
    tags: Mapping[str, str]
    aliases: frozenset[str] = frozenset()

    def outdated(self, found: Mapping[str, str]) -> list[str]:
        """Return those of the tags found that were true once and are no more."""
        return [name for name in PASSING_TAGS if name in found and name not in self.tags]


@dataclass(frozen=True)
class FoundVersion:
    """A registered version as MLflow has it.

    Attributes:
        number: Its number.
        run_id: Its run.
        description: In words.
        tags: All of them, also what somebody else set.
    """

    number: int
    run_id: str
    description: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class FoundRun:
    """A run as MLflow has it.

    Attributes:
        status: `FINISHED` where it is whole.
        params: As it has them.
        metrics: Of each metric the last value.
        tags: All of them, MLflow's own too.
        files: Bytes of each artifact by its path.
    """

    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FoundModel:
    """The registered model as MLflow has it.

    Attributes:
        ledger: Hash of the first entry of the ledger that it mirrors; empty if nobody said.
        versions: By number.
        aliases: Number by alias.
    """

    ledger: str
    versions: Mapping[int, FoundVersion]
    aliases: Mapping[str, int]


NO_MODEL = FoundModel("", {}, {})
