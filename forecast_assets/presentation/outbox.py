"""The outbox in words.

What belongs here: what people read of it. What does not: telling anybody anything.
"""

from collections.abc import Sequence

from forecast_assets.core.wording import counted
from forecast_assets.operations.outbox import Delivery
from forecast_assets.presentation.text import table


def delivery_text(deliveries: Sequence[Delivery]) -> str:
    """Say what every destination was told, a line each."""
    return "\n".join(_line(each) for each in deliveries)


def _line(delivery: Delivery) -> str:
    place = delivery.place
    whom = f"{place.destination}, {place.stream}"
    if delivery.is_elsewhere:
        return f"{whom}: another process is just telling it; {counted(delivery.waiting, 'event')} behind."
    said = f"{whom}: {counted(delivery.delivered, 'event')} delivered, up to {place.position}"
    if not place.trouble:
        return f"{said}; nothing waits." if not delivery.waiting else f"{said}; {delivery.waiting:,} wait."
    return f"{said}; {delivery.waiting:,} wait since {place.trouble_since}: {place.trouble}"


def outbox_text(place: str, deliveries: Sequence[Delivery]) -> str:
    """Return how far every destination is as a table."""
    if not deliveries:
        return f"The outbox at {place} has told nobody anything yet."
    rows = [
        (
            each.place.destination,
            each.place.stream,
            f"{each.place.position:,}",
            f"{each.waiting:,}",
            each.place.at,
            f"since {each.place.trouble_since}: {each.place.trouble}" if each.place.trouble else "",
        )
        for each in deliveries
    ]
    return table(("destination", "stream", "position", "waiting", "last told (UTC)", "trouble"), rows)
