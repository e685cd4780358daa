"""The mirror in Dagster: it follows a training, and a check holds it against the ledger.

What belongs here: context in, metadata out. What does not: what is mirrored, or how.
"""

from typing import Any, Final

import dagster as dg

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.core.errors import MirrorConflictError, MirrorUnavailableError
from forecast_assets.operations.mirroring import MirrorDelay, compare_mirror, follow, mirror_place
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.mirror import comparison_text, delay_text, mirror_text, page_paths, version_pages
from forecast_assets.settings import Settings
from resources.orchestration.dagster_resources import StoresResource
from resources.stores.home import Stores

MIRROR_CHECK: Final = "mlflow_says_what_the_ledger_says"


class MirrorResource:
    """The MLflow mirror of a home, as assets get it.

    Args:
        settings: The home's; None where somebody else lets the mirror follow, as the command does.
    """

    def __init__(self, settings: Settings | None) -> None:
        self._settings = settings

    def follow(self, stores: Stores, log: Any) -> dict[str, str]:
        """Let the mirror follow what was just recorded; return what to show of it.

        A mirror that cannot follow is a warning: it never makes a training fail.
        """
        outcome = None if self._settings is None else follow(self._settings, stores, version_pages)
        if outcome is None:
            return {}
        if isinstance(outcome, MirrorDelay):
            log.warning(delay_text(outcome))
            return {"mlflow": delay_text(outcome)}
        return {"mlflow": mirror_text(outcome)}


def build_mirror_check(settings: Settings) -> dg.AssetChecksDefinition:
    """Build the check that compares the mirror with the ledger, of all versions at once."""

    @dg.asset_check(
        asset=EVALUATION_REPORTS.name,
        name=MIRROR_CHECK,
        description="MLflow has a run, a registered version and the aliases of every version, and they say what the "
        "ledger says. A warning: the ledger decides, and `mlflow sync` puts it right.",
    )
    def mlflow_says_what_the_ledger_says(stores: dg.ResourceParam[StoresResource]) -> dg.AssetCheckResult:
        def result(words: str, *differences: str, passed: bool) -> dg.AssetCheckResult:
            return dg.AssetCheckResult(
                passed=passed,
                severity=dg.AssetCheckSeverity.WARN,
                description=words,
                metadata={"differences": dg.MetadataValue.json(list(differences)), "mlflow": words},
            )

        try:
            found = compare_mirror(stores.reopened(), mirror_place(settings), pages=page_paths)
        except (MirrorUnavailableError, MirrorConflictError) as error:
            return result(error_text(error), passed=False)
        return result(comparison_text(found), *found.differences, passed=not found.differences)

    return mlflow_says_what_the_ledger_says
