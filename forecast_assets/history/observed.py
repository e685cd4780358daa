"""Up to which day a store knows sales.

What belongs here: that one day. What does not: whether a day is complete (snapshots), or what was sold.
"""

from datetime import date

from forecast_assets.contracts import SALES
from forecast_assets.core.keys import last_day_over
from resources.ledger.present import present_of_days
from resources.stores.home import Stores


def observed_until(stores: Stores) -> date:
    """Return the newest day with sales that is over: days up to it are past.

    Raises:
        NotReadyError: If there are no sales of a day that is over.
    """
    return stores.observations.newest_day(SALES.name, until=last_day_over(present_of_days(stores.ledger.state())))
