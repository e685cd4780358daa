"""What was reached before, on the same cases: what every later figure is held against.

What belongs here: the file, and reading and writing it. What does not: measuring. The figures are those of one commit
and are never measured anew by later code, which is what they are compared with.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Figures, mean_figure

RECORDED = Path(__file__).parent / "recorded.json"


@dataclass(frozen=True)
class Recorded:
    """What was reached before.

    Attributes:
        commit: Of the code that reached it.
        figures: By model, case and name; none of a case that the model refused.
    """

    commit: str
    figures: Mapping[str, Mapping[str, Figures]]

    def beside(self, model: str, found: Mapping[str, Figures], name: str) -> tuple[float, float]:
        """Return the recorded mean of a figure, and the mean of what was found over it, on the same cases.

        Args:
            model: Whose record.
            found: Figures by name of the case.
            name: Of the figure.

        Returns:
            NaN where a case is not recorded. Cases that either model refused, which have no figures, are left out.
        """
        known = self.figures.get(model, {})
        if not known.keys() >= found.keys():
            return float("nan"), float("nan")
        both = [case for case in found if name in known[case] and name in found[case]]
        was = mean_figure([known[case] for case in both], name)
        return was, mean_figure([found[case] for case in both], name) / was if was else float("nan")


def recorded() -> Recorded:
    """Read what was reached before; nothing where nothing is recorded."""
    if not RECORDED.is_file():
        return Recorded("none", {})
    data: dict[str, Any] = json.loads(RECORDED.read_text())
    return Recorded(data["commit"], data["figures"])


def record(model: str, found: Mapping[str, Figures], commit: str) -> None:
    """Write figures down beside those of other cases and models of the same commit.

    Raises:
        ValueError: If the file is of another commit: what is measured against does not change.
    """
    before = recorded()
    if before.figures and before.commit != commit:
        raise ValueError(f"{RECORDED} holds figures of {before.commit}: remove it to measure against {commit} instead")
    rounded = {case: {name: round(value, 6) for name, value in each.items()} for case, each in found.items()}
    merged = dict(sorted({**before.figures.get(model, {}), **rounded}.items()))
    models = dict(sorted({**before.figures, model: merged}.items()))
    RECORDED.write_text(json.dumps({"commit": commit, "figures": models}, indent=1) + "\n")
