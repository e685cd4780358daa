"""The MLflow mirror in words, and the pages and pictures that its runs keep.

What belongs here: what people read of the mirror, and in it. What does not: writing or comparing it.
"""

from collections.abc import Mapping
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.core.wording import counted
from forecast_assets.operations.calibration_reports import CalibrationReport
from forecast_assets.operations.mirroring import MIRROR, MirrorComparison, MirrorDelay, MirrorOutcome
from forecast_assets.plots import evaluation_png
from forecast_assets.plots.calibration import calibration_pictures
from forecast_assets.presentation.actions import error_text, sentence_text
from forecast_assets.presentation.calibration import calibration_page
from forecast_assets.presentation.evaluation import evaluation_page
from resources.ledger.entries.register import VersionRecord
from resources.mlflow.place import line_without_password
from resources.stores.home import Stores

EVALUATION_PAGE: Final = "reports/evaluation.html"
EVALUATION_PICTURE: Final = "pictures/wape_by_segment.png"
CALIBRATION_PAGE: Final = "reports/calibration.html"


def page_paths(record: VersionRecord) -> tuple[str, ...]:
    """Return where pages of a version are, without those pictures that a report may have too little for."""
    return EVALUATION_PAGE, EVALUATION_PICTURE, *((CALIBRATION_PAGE,) if record.calibration else ())


def version_pages(stores: Stores, record: VersionRecord) -> Mapping[str, bytes]:
    """Draw what people look at of a version: pages of its reports, and the same pictures by themselves."""
    store = stores.predictions
    report = store.read(store.version(record.evaluation_report))
    found = {
        EVALUATION_PAGE: evaluation_page(record, report).encode(),
        EVALUATION_PICTURE: evaluation_png(report),
    }
    if not record.calibration:
        return found
    judged = CalibrationReport(record, store.read(store.version(record.calibration)))
    drawn = calibration_pictures(judged.rows)
    return {
        **found,
        CALIBRATION_PAGE: calibration_page(judged).encode(),
        **{f"pictures/{name}.png": png for name, png in drawn.items()},
    }


def mirror_text(outcome: MirrorOutcome) -> str:
    """Say what a mirror took over."""
    head = f"{MIRROR} at {outcome.place.shown} follows the ledger up to entry {outcome.sequence}"
    if not outcome.versions:
        return f"Nothing to mirror: there is no model version yet. {MIRROR} would be at {outcome.place.shown}"
    said = [
        f"new: {', '.join(outcome.written)}" if outcome.written else "",
        f"put right: {', '.join(outcome.changed)}" if outcome.changed else "",
        *(f"`{name}` is {target or 'unset'}" for name, target in outcome.aliases.items()),
    ]
    what = "; ".join(filter(None, said)) or "nothing had changed"
    return f"{head}: {what}."


def delay_text(delay: MirrorDelay) -> str:
    """Say why a mirror is late, that nothing depends on it, and what to do."""
    error = delay.error
    if isinstance(error, ForecastAssetsError):
        why = error_text(error)
    else:
        again = Sentence("Catch up when that is mended: ", Action("mlflow sync"), ".")
        why = f"{type(error).__name__}: {line_without_password(error)}. {sentence_text(again)}"
    return f"warning: {MIRROR} is late, and what was recorded stays so. {why}"


def comparison_text(comparison: MirrorComparison) -> str:
    """Say whether a mirror agrees with the ledger."""
    versions = counted(comparison.versions, "version")
    place = f"{MIRROR} at {comparison.place.shown}"
    if comparison.differences:
        return "\n".join((f"{place} does not agree with ledger entry {comparison.sequence}:", *comparison.differences))
    return f"{place} says of {versions} what the ledger says up to entry {comparison.sequence}."
