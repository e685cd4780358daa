"""Actions as lines of the command, and sentences with them.

What belongs here: how the command puts what its parts advise. What does not: what they advise, or exit codes.

Nothing but `core` is imported here, so that whoever speaks to people may: sensors and checks name the command too.
"""

from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import ForecastAssetsError

COMMAND: Final = "forecast-assets"


def command_line(action: Action) -> str:
    """Return the line to type.

    Example:
        >>> command_line(Action("versions", on=("stat-1",)))
        'forecast-assets versions stat-1'
        >>> command_line(Action("vacuum", {"remove": True, "older_than_days": 30}))
        'forecast-assets vacuum --remove --older-than-days 30'
    """
    options = [part for name, value in action.arguments.items() for part in _option(name, value)]
    return " ".join([COMMAND, action.name, *map(str, action.on), *options])


def option_name(argument: str) -> str:
    """Return the option that takes an argument."""
    return f"--{argument.replace('_', '-')}"


def _option(argument: str, value: object) -> list[str]:
    return [option_name(argument)] if value is True else [option_name(argument), str(value)]


def sentence_text(words: str | Sentence) -> str:
    """Return a sentence with its actions as command lines."""
    return words if isinstance(words, str) else words.put(command_line)


def error_text(error: ForecastAssetsError) -> str:
    """Return what the command says of an error: what is wrong, and what to type."""
    return sentence_text(error.sentence)
