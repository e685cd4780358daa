"""Destinations of notifications by address: a mail server, a webhook, Slack, PagerDuty.

What belongs here: reading an address, sending one notification within a short time, and saying why it failed.
What does not: what is sent (`formats`), or when it is tried again (`sending`).

An address may have secrets: what is after `#`, a password, a path of Slack. A destination is called by its kind, its
host and a few digits of the hash of its address; libraries' own words, which may have the address, are told to nobody.
"""

import hashlib
import ipaddress
import re
import smtplib
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import requests

from forecast_assets.alerts import formats
from forecast_assets.alerts.wording import WordedNotice
from forecast_assets.core.errors import InputError
from forecast_assets.core.webhooks import secret_bytes, webhook_headers

# Of connecting, and of each read and write.
SECONDS: Final = 5.0
_FORMS: Final = (
    "smtp://USER:PASSWORD@HOST:587?to=ana@example.com, smtps://..., webhook+https://HOST/PATH#whsec_SECRET, "
    "slack+https://hooks.slack.com/services/..., pagerduty+https://events.pagerduty.com/v2/enqueue#ROUTING_KEY"
)
_ADDRESS: Final = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")
_SUBMISSION, _SUBMISSION_TLS = 587, 465


class NotTakenError(Exception):
    """A destination did not take a notification; says why, without a secret."""


class Destination(ABC):
    """Who is told.

    Args:
        url: Its address.
        parts: The same, in its parts.

    Attributes:
        name: What it is called, without a secret.
    """

    def __init__(self, url: str, parts: SplitResult) -> None:
        self._parts = parts
        digest = hashlib.sha256(url.encode()).hexdigest()[:6]
        self.name = f"{self.called()} ({digest})"

    @abstractmethod
    def called(self) -> str:
        """Return kind and host, or recipients."""

    @abstractmethod
    def send(self, told: WordedNotice) -> None:
        """Hand a notification over, within some seconds.

        Raises:
            NotTakenError: If it is not taken.
        """


class MailServer(Destination):
    """A mail server: STARTTLS where it offers that, TLS from the start as `smtps`."""

    def called(self) -> str:
        """Return to whom, and through which server."""
        return f"mail to {self._to} through {self._parts.hostname}"

    @property
    def _to(self) -> str:
        return ", ".join(parse_qs(self._parts.query).get("to", []))

    def send(self, told: WordedNotice) -> None:
        """Send a mail."""
        query = parse_qs(self._parts.query)
        sender = query.get("from", [f"forecast-assets@{self._parts.hostname}"])[0]
        try:
            with self._connected() as server:
                self._log_in(server)
                server.send_message(formats.email(told, sender, self._to))
        except smtplib.SMTPResponseException as error:
            raise NotTakenError(f"the server answered {error.smtp_code}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise NotTakenError(type(error).__name__) from error

    def _connected(self) -> smtplib.SMTP:
        host, context = str(self._parts.hostname), ssl.create_default_context()
        if self._parts.scheme == "smtps":
            return smtplib.SMTP_SSL(host, self._parts.port or _SUBMISSION_TLS, timeout=SECONDS, context=context)
        server = smtplib.SMTP(host, self._parts.port or _SUBMISSION, timeout=SECONDS)
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        return server

    def _log_in(self, server: smtplib.SMTP) -> None:
        if self._parts.username is None:
            return
        is_hidden = isinstance(server.sock, ssl.SSLSocket) or _is_this_machine(str(self._parts.hostname))
        if not is_hidden:
            raise NotTakenError("the server offers no TLS, and the password is not sent without")
        server.login(unquote(self._parts.username), unquote(self._parts.password or ""))


class HttpDestination(Destination):
    """What is told by a request."""

    kind = "webhook"

    def called(self) -> str:
        """Return kind and host; a path may be a secret."""
        return f"{self.kind} at {self._parts.hostname}"

    @property
    def _secret(self) -> str:
        return self._parts.fragment

    def send(self, told: WordedNotice) -> None:
        """Post each body."""
        for body, headers in self.requests(told, datetime.now(UTC)):
            self._post(body, headers)

    def requests(self, told: WordedNotice, now: datetime) -> Sequence[tuple[bytes, Mapping[str, str]]]:
        """Return what is posted, with its headers."""
        body = formats.webhook_body(told)
        headers = {
            "content-type": "application/json",
            **webhook_headers(told.notice.notice_id, body, self._secret, now),
        }
        return [(body, headers)]

    def _post(self, body: bytes, headers: Mapping[str, str]) -> None:
        address = self._parts._replace(scheme=self._parts.scheme.partition("+")[2], fragment="").geturl()
        try:
            # A redirection would hand what is told to whoever is named there.
            answer = requests.post(address, data=body, headers=dict(headers), timeout=SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            raise NotTakenError(type(error).__name__) from error
        if not answer.ok or answer.is_redirect:
            raise NotTakenError(f"it answered {answer.status_code}")


class Slack(HttpDestination):
    """A channel of Slack, or of what takes its format."""

    kind = "Slack"

    def requests(self, told: WordedNotice, now: datetime) -> Sequence[tuple[bytes, Mapping[str, str]]]:
        """Return one message."""
        del now
        return [(formats.slack_body(told), {"content-type": "application/json"})]


class PagerDuty(HttpDestination):
    """A service of PagerDuty."""

    kind = "PagerDuty"

    def requests(self, told: WordedNotice, now: datetime) -> Sequence[tuple[bytes, Mapping[str, str]]]:
        """Return an event for each alert."""
        del now
        bodies = formats.pagerduty_bodies(told, self._secret)
        return [(body, {"content-type": "application/json"}) for body in bodies]


_KINDS: Final[Mapping[str, type[Destination]]] = {
    "smtp": MailServer,
    "smtps": MailServer,
    "webhook": HttpDestination,
    "slack": Slack,
    "pagerduty": PagerDuty,
}


def read_destination(url: str) -> Destination:
    """Return the destination of an address.

    Raises:
        InputError: If it is none; the message has nothing of it, since it may have a secret.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _unusable("it cannot be read") from None
    kind, _, protocol = parts.scheme.partition("+")
    if kind not in _KINDS or not parts.hostname or (not kind.startswith("smtp") and protocol not in {"http", "https"}):
        raise _unusable(f"its kind `{parts.scheme}` is not known" if parts.scheme not in {"", "http", "https"} else "")
    if kind.startswith("smtp"):
        to = parse_qs(parts.query).get("to", [])
        if not to or not all(_ADDRESS.fullmatch(each) for each in to):
            raise _unusable("it names nobody: end it with ?to=NAME@HOST")
    if kind == "pagerduty" and not parts.fragment:
        raise _unusable("it has no routing key: end it with #ROUTING_KEY")
    if kind == "webhook" and parts.fragment:
        try:
            secret_bytes(parts.fragment)
        except ValueError:
            raise _unusable("its secret is none of Standard Webhooks: whsec_ and base64") from None
    return _KINDS[kind](url, parts)


def read_destinations(urls: Sequence[str]) -> list[Destination]:
    """Return the destinations of some addresses, each once.

    Raises:
        InputError: If one is none.
    """
    return [read_destination(url) for url in dict.fromkeys(urls)]


def _unusable(why: str) -> InputError:
    return InputError(
        f"An address in FORECAST_ASSETS_ALERT_TO cannot be used{f': {why}' if why else ''}.",
        remedy=f"Write it as one of: {_FORMS}.",
    )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
