"""Does every link from a product to what it was made from resolve, with the bytes that were recorded?

What belongs here: walking lineage and naming what does not hold. What does not: Dagster.
"""

from dataclasses import replace

from forecast_assets.errors import InputError, IntegrityError
from forecast_assets.keys import RunKey
from forecast_assets.run_inputs import outside_forecasts_of
from resources.prediction_store import ProductVersion
from resources.stores import Stores


def lineage_breaks(stores: Stores, product: ProductVersion, key: RunKey) -> list[str]:
    """Return one sentence per link that does not resolve; empty when all is well.

    Args:
        stores: Where everything is.
        product: The product to walk from.
        key: The run that it claims to be of.
    """
    breaks: list[str] = []
    if product.key != str(key):
        breaks.append(f"the manifest is of {product.key}, not of {key}")
    try:
        stores.predictions.verify(product.version)
        model = stores.predictions.model_version(key.model_version)
        stores.predictions.verify(model.evaluation_report)
    except (IntegrityError, InputError) as error:
        return [*breaks, str(error)]
    if product.inputs.get("model_artifacts") != model.artifact:
        breaks.append(f"it was made with artifact {product.inputs.get('model_artifacts')}, not {model.artifact}")
    own = str(replace(key, revision=0))
    breaks += [
        f"its numbers are those of the file of {made.key}, not of {own}"
        for made in outside_forecasts_of(stores.predictions, [product.version])
        if made.key != own
    ]
    return breaks + _batch_breaks(stores, stores.predictions.version(product.inputs["feature_snapshots"]))


def _batch_breaks(stores: Stores, snapshot: ProductVersion) -> list[str]:
    try:
        for batch in stores.observations.named(snapshot.inputs["batches"]):
            stores.observations.verify(batch)
    except IntegrityError as error:
        return [str(error)]
    return []
