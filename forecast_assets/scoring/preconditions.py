"""What must hold before a run may start: a version that may serve, and inputs that belong to it.

What belongs here: refusing a run that would break a promise, with the remedy. What does not: whether observations are
complete (snapshots), or starting anything.
"""

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import HorizonError, InputError, NotAcceptedError, NotStagedError, first_ten
from forecast_assets.core.keys import RunKey
from forecast_assets.core.run import RunRequest
from forecast_assets.models.family import family
from resources.ledger.entries.publish import revision_before
from resources.ledger.entries.register import VersionRecord, Versions
from resources.stores.home import Stores


def require_possible(stores: Stores, key: RunKey) -> VersionRecord:
    """Refuse a run that no input can make possible; return its model version.

    Raises:
        UnknownVersionError: If the model version is not registered.
        NotAcceptedError: If it is retired and this is no correction, or may not serve this date; see
            `require_servable`.
        HorizonError: If it was not trained as far ahead.
    """
    model = stores.registry.model_version(key.model_version)
    stores.ledger.state().part(Versions).require_in_service(key)
    require_servable(key, model)
    require_horizon(stores, key, model)
    return model


def require_servable(key: RunKey, model: VersionRecord) -> None:
    """Refuse a version that has not been validated, or that has seen days after the prediction date.

    Raises:
        NotAcceptedError: With the gates that failed, or the cutoff that the version was trained to. Gates that only a
            channel asks for do not count: a version may serve under its own name without them.
    """
    failed = model.failed_gates(for_channel=False)
    if failed:
        raise NotAcceptedError(
            f"`{model.model_version}` may not serve: its evaluation report fails {first_ten(failed)}.",
            remedy=Sentence("Look at it: ", Action("versions", on=(model.model_version,)), "; train a better one."),
            key=key,
            failed=failed,
        )
    if key.prediction_date < model.cutoff:
        raise NotAcceptedError(
            f"`{model.model_version}` was trained on days up to {model.cutoff}, so a run for {key.prediction_date} "
            "would know its own future.",
            remedy="Ingest the forecasts of earlier days as another version."
            if family(model.family).given_product
            else f"Train a version with --cutoff {key.prediction_date} or earlier.",
            key=key,
            cutoff=model.cutoff,
        )


def require_horizon(stores: Stores, key: RunKey, model: VersionRecord) -> None:
    """Refuse a version that was not trained as far ahead as the run looks.

    Raises:
        HorizonError: With the horizon that the version was trained for.
    """
    trained = stores.predictions.version(model.artifact).facts.get("horizon")
    if trained is not None and key.forecast_horizon > trained:
        raise HorizonError(
            f"`{model.model_version}` was trained for {trained} days ahead, and {key.cadence} runs of "
            f"{key.forecast_horizon} days were asked of it.",
            remedy=Sentence(
                "Train a version for it: ",
                Action("train", {"horizon": key.forecast_horizon}),
                "; or run it with a horizon that it was trained for.",
            ),
            key=key,
            horizon=trained,
        )


def require_given(stores: Stores, key: RunKey, model: VersionRecord) -> None:
    """Refuse a first run of an external version for which no file has been ingested.

    Raises:
        NotStagedError: With what ingests it.
    """
    product = family(model.family).given_product
    if product is not None and not key.revision and not stores.predictions.is_staged(product, key):
        raise NotStagedError(
            f"`{key.model_version}` is external, and no file with its forecasts for {key} was ingested.",
            remedy=Sentence(
                "Ingest it: ",
                Action(
                    "ingest forecasts",
                    {"model_version": key.model_version, "cadence": key.cadence, "horizon": key.forecast_horizon},
                    on=("FILE",),
                ),
            ),
            key=key,
        )


def require_correctable(stores: Stores, request: RunRequest) -> None:
    """Refuse a revision without a moment of knowledge, or without the revision that it corrects.

    Raises:
        InputError: If only one of revision and moment is given.
        NotPublishedError: If the revision before it is not published.
    """
    key = request.key
    if (key.revision > 0) != (request.correction is not None):
        raise InputError(
            f"{key} {'lacks' if key.revision else 'is no correction and has'} a moment of knowledge of its own.",
            remedy=Sentence(
                "Give a run both `revision` (from 1) and `known_until`, or neither: ", Action("correct", {"help": True})
            ),
            key=key,
        )
    if key.revision:
        stores.predictions.publication(revision_before(key))
