"""What to do next, as a use case with its arguments, and sentences that say so.

What belongs here: what an error, a hint or an observation advises. What does not: how a door puts it (a command line, a
link); `forecast_assets.presentation.actions` does that for the command.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Action:
    """A use case to call.

    Example:
        >>> str(Action("promote", {"channel": "champion", "by": "NAME"}, on=("VERSION",)))
        '`promote VERSION` with channel champion, by NAME'

    Attributes:
        name: Of the use case, for example `run`, or `ingest table` for one of several of a kind.
        arguments: By name; a word in capitals stands for what the reader chooses, True for what is merely asked for.
        on: What it is done to: a version, a key or a folder, which needs no name.
    """

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    on: tuple[object, ...] = ()

    def __str__(self) -> str:
        """Return it in words that are no door's."""
        what = " ".join(str(part) for part in (self.name, *self.on))
        said = [_argument(name, value) for name, value in self.arguments.items()]
        return f"`{what}` with {', '.join(said)}" if said else f"`{what}`"


def _argument(name: str, value: object) -> str:
    words = name.replace("_", " ")
    return words if value is True else f"{words} {value}"


class Sentence:
    """Words with actions among them, which each door puts in its own way.

    Example:
        >>> str(Sentence("See what is published: ", Action("runs")))
        'See what is published: `runs`'

    Args:
        parts: What it is made of, spaces included.
    """

    def __init__(self, *parts: "str | Action | Sentence") -> None:
        flat = [inner for part in parts for inner in (part.parts if isinstance(part, Sentence) else (part,))]
        self.parts: tuple[str | Action, ...] = tuple(part for part in flat if part)

    def put(self, action: Callable[[Action], str]) -> str:
        """Return the sentence with every action as somebody puts it."""
        return "".join(part if isinstance(part, str) else action(part) for part in self.parts)

    def without_full_stop(self) -> "Sentence":
        """Return it as a part of a longer sentence."""
        *before, last = self.parts or ("",)
        return Sentence(*before, last.rstrip(".") if isinstance(last, str) else last)

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __str__(self) -> str:
        """Return it in words that are no door's."""
        return self.put(str)
