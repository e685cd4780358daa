"""The broker of a home.

What belongs here: from settings to a broker. What does not: what is published or read.
"""

from forecast_assets.core.errors import InputError
from forecast_assets.settings import Settings
from resources.broker.broker import Broker
from resources.broker.kafka import KafkaBroker


def required_broker(settings: Settings) -> Broker:
    """Return the broker of a home; whoever does so closes it.

    Raises:
        InputError: If none is set, or the library is not installed.
    """
    if settings.broker is None:
        raise InputError(
            "No broker is set.",
            remedy="Set FORECAST_ASSETS_BROKER to brokers of Apache Kafka, as HOST:PORT with commas between.",
        )
    return KafkaBroker(settings.broker, settings.broker_options)
