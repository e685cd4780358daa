"""Signing requests to webhooks, as Standard Webhooks has it.

What belongs here: headers and secrets. What does not: sending.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what a secret begins with


def webhook_headers(message_id: str, content: bytes, secret: str, now: datetime) -> Mapping[str, str]:
    """Return the headers of a request, signed where there is a secret.

    Args:
        message_id: By which who receives it twice knows.
        content: What is sent.
        secret: `whsec_` and base64, or empty.
        now: When it is sent.

    Raises:
        ValueError: If the secret is none.

    Example:
        >>> at = datetime.fromtimestamp(1614265330).astimezone()
        >>> headers = webhook_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}',
        ...                           "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", at)
        >>> headers["webhook-signature"]
        'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    headers = {"webhook-id": message_id, "webhook-timestamp": str(int(now.timestamp()))}
    if secret:
        signed = f"{message_id}.{headers['webhook-timestamp']}.".encode() + content
        digest = hmac.new(secret_bytes(secret), signed, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def secret_bytes(secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ValueError: If it is none.
    """
    return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
