"""Which effects of the calendar and of weather a simulated retailer has besides its plain ones.

What belongs here: the sizes to ask for. What does not: drawing anything with them (``calendar_law``, ``weather``).
"""

from dataclasses import dataclass, fields

from forecast_assets.core.errors import SourceError


@dataclass(frozen=True)
class CalendarSettings:
    """Sizes of effects; 0 switches one off. Unless said otherwise they are of the logarithm of demand.

    Categories are those of the product hierarchy. What differs by category and store is drawn for each pair anew.

    Attributes:
        payday_size: Effect of a payday where it has one. Each region has ten paydays a month of its own.
        payday_share: Share of pairs of a food category and a store that paydays move; they do nothing elsewhere.
        weekday_spread: Standard deviation of the weekday pattern of a category in a store about its products' own.
        event_size: Effect of an event on the day before it; the third and second day before have 0.3 and 0.6 of it, the
            day after loses as much as a third of it.
        event_spread: Standard deviation of an event's size from year to year, as a share of it, and of its own day.
        shift_every_days: Days between jumps of the level of a category in a store, on average.
        shift_size: Largest of these jumps, up or down; the smallest is a third of it.
        noise_all: Standard deviation of what all series share on a day.
        noise_by_store: The same of a store.
        noise_by_both: The same of a category in a store.
        weather_size: Effect of 10 degrees more, up or down, on half of the categories.
        weather_error: Standard deviation of a forecast of tomorrow's weather, in degrees; it grows with the root of the
            days ahead.

    Raises:
        SourceError: If a number is out of range.
    """

    payday_size: float = 0.34
    payday_share: float = 0.5
    weekday_spread: float = 0.1
    event_size: float = 0.15
    event_spread: float = 0.4
    shift_every_days: float = 400.0
    shift_size: float = 0.3
    noise_all: float = 0.02
    noise_by_store: float = 0.02
    noise_by_both: float = 0.03
    weather_size: float = 0.2
    weather_error: float = 0.6

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        most = {"payday_share": 1.0, "shift_every_days": float("inf"), "weather_error": 20.0}
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        wrong = [
            f"{name}={value} (0 to {most.get(name, 2.0):g})"
            for name, value in values.items()
            if not 0 <= value <= most.get(name, 2.0)
        ]
        if wrong:
            raise SourceError(f"No calendar can be drawn with {', '.join(wrong)}.", remedy="Change them.")
