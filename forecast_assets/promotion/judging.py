"""The judgement of a version: every gate by the policy in force, stored as a product and recorded in the ledger.

What belongs here: putting verdicts together, and their record. What does not: a figure, a bound, or a channel.
"""

from dataclasses import dataclass

import polars as pl

from forecast_assets.contracts import PROMOTION_GATES
from forecast_assets.core.keys import CADENCES
from forecast_assets.promotion.champion import compared_with_champion
from forecast_assets.promotion.merit import champion_verdicts, report_verdicts, risk_verdict
from forecast_assets.promotion.published import (
    familiarity_verdict,
    newest_runs,
    run_soundness,
    stability_pairs,
    stability_verdict,
)
from forecast_assets.promotion.soundness import record_verdicts, registered_verdicts
from forecast_assets.promotion.verdicts import MERIT, SOUNDNESS, failed_gates, gates_frame
from resources.ledger.entries.judge import Judgement
from resources.ledger.entries.policy import PolicyRecord
from resources.ledger.entries.register import VersionRecord
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores


@dataclass(frozen=True)
class JudgementOutcome:
    """What a version shows at every gate.

    Attributes:
        record: What the ledger says of it.
        is_new: Whether this call recorded it; False if the newest judgement says the same.
        product: The product `promotion_gates`.
        rows: Its rows.
    """

    record: Judgement
    is_new: bool
    product: ProductVersion
    rows: pl.DataFrame


def judge_version(stores: Stores, name: str, cadence: str, policy: PolicyRecord) -> JudgementOutcome:
    """Hold a version against every gate, and record that unless its newest judgement says the same.

    Args:
        stores: Where everything is.
        name: The version.
        cadence: Rhythm of the runs whose channel it is judged for.
        policy: The bounds.

    Raises:
        UnknownVersionError: If there is no such version.
        ChangedFileError: If a report that figures are read from is not as it was recorded.
    """
    version, store = stores.registry.model_version(name), stores.predictions
    champion = stores.ledger.state().channel(CADENCES[cadence].champion)
    report, calibration = (_read(stores, link) for link in (version.evaluation_report, version.calibration))
    compared = compared_with_champion(stores, version, champion, cadence)
    runs = newest_runs(stores, name, cadence)
    newest, pairs = (runs[-1] if runs else None), stability_pairs(runs)
    bounds = policy.policy
    verdicts = [
        *registered_verdicts(version, report),
        *record_verdicts(stores, version, newest),
        *run_soundness(stores, newest),
        *report_verdicts(report, version.gates, bounds),
        *champion_verdicts(compared, bounds),
        stability_verdict(stores, pairs, bounds),
        familiarity_verdict(stores, newest, bounds),
        risk_verdict(calibration, bounds),
    ]
    rows = gates_frame(
        verdicts, model_version=name, cadence=cadence, policy=policy.version, overridable=bounds.overrides.allowed
    )
    against = champion if champion is not None and champion != name else ""
    looked_at = {run.key: run for run in (*(run for pair in pairs for run in pair), *runs[-1:])}
    product = store.write(
        PROMOTION_GATES,
        rows,
        key=f"{cadence}/{name}",
        folder=f"promotion_gates/model_version={name}",
        inputs={
            **_inputs(version),
            **{f"compared_{at}": report for at, report in enumerate(compared.product_versions)},
            **{f"forecasts {key}": run.products["forecasts"] for key, run in looked_at.items()},
        },
        facts={"model_version": name, "cadence": cadence, "policy": policy.version, "against": against},
    )
    judgement = Judgement(
        model_version=name,
        cadence=cadence,
        policy=policy.version,
        against=against,
        product_version=product.version,
        numbers=product.files[0].sha256,
        failed_soundness=failed_gates(verdicts, SOUNDNESS),
        failed_merit=failed_gates(verdicts, MERIT),
    )
    record, is_new = store.record_judgement(product, judgement)
    return JudgementOutcome(record, is_new, product, rows)


def _read(stores: Stores, link: str) -> pl.DataFrame | None:
    """Return the rows of a report; None where the version has none."""
    made = stores.predictions.version(link) if link else None
    return stores.predictions.read(made) if made is not None and made.schema else None


def _inputs(version: VersionRecord) -> dict[str, str]:
    links = {
        "model_artifacts": version.artifact,
        "evaluation_reports": version.evaluation_report,
        "calibration": version.calibration,
    }
    return {name: link for name, link in links.items() if link}
