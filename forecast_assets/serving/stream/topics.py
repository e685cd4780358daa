"""Names of topics, and of headers on them.

What belongs here: names that both sides have to know. What does not: what is done with messages.
"""

from dataclasses import dataclass
from typing import Final

KEY: Final = "authorization"
REQUEST_ID: Final = "x-request-id"
TRACE: Final = "traceparent"
QUESTION: Final = "question"
STATUS: Final = "status"
CONTENT_TYPE: Final = "content-type"
RETRY_AFTER: Final = "retry-after"
SANDBOX: Final = "x-sandbox"


@dataclass(frozen=True)
class StreamTopics:
    """Topics of a home.

    Args:
        prefix: What their names begin with.

    Example:
        >>> StreamTopics("retail").answers
        'retail.answers'
    """

    prefix: str

    @property
    def requests(self) -> str:
        """Where callers ask."""
        return f"{self.prefix}.requests"

    @property
    def answers(self) -> str:
        """Where they are answered."""
        return f"{self.prefix}.answers"

    @property
    def group(self) -> str:
        """Of the consumers that answer."""
        return f"{self.prefix}.answering"
