"""Who sends a form, and whether a page of this service made it.

What belongs here: tokens of forms, and reading what a form sends. What does not: what any form does.

Browsers send the key of a signed-in person with every request, also with those that a page of somebody else makes. So
each form carries a token that follows from the key: whoever does not know the key cannot make it.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from forecast_assets.core.errors import InputError, NotAllowedError

TOKEN: Final = "token"  # noqa: S105 - the name of a field
_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 1_000


def form_token(key: str) -> str:
    """Return what forms of the owner of a key carry."""
    return hmac.new(key.encode(), b"forms of the pages of planners", hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Sent:
    """Fields of a link or a form, without blanks around and without empty ones.

    Attributes:
        fields: The last value of each.
        many: All values of each.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    many: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]]) -> "Sent":
        """Return the fields of pairs of names and values."""
        said = [(name, value.strip()) for name, value in pairs if value.strip()]
        many: dict[str, list[str]] = {}
        for name, value in said:
            many.setdefault(name, []).append(value)
        return cls(dict(said), many)

    @classmethod
    def of_form(cls, body: bytes, content_type: str, key: str) -> "Sent":
        """Return the fields of a form that a page of this service made for the owner of a key.

        Raises:
            InputError: If it is no form.
            NotAllowedError: If another page made it.
        """
        if content_type.partition(";")[0].strip().lower() != _FORM:
            raise InputError("This is no form.", remedy="Use the form on the page.")
        try:
            sent = cls.of(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
        except ValueError as error:
            raise InputError("The form cannot be read.", remedy="Use the form on the page.") from error
        if not hmac.compare_digest(sent.fields.get(TOKEN, "").encode(), form_token(key).encode()):
            raise NotAllowedError(
                "The form was not made for you by a page of this service, or with another key.",
                remedy="Open the page again, and send its form.",
            )
        return sent
