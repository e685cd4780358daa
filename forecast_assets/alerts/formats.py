"""Notifications as each destination takes them.

What belongs here: bodies and headers, from documents of their makers. What does not: sending.
"""

import hashlib
import json
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Final

from forecast_assets.alerts.wording import WordedNotice
from forecast_assets.core.health import Severity
from resources.operational.alerts import CLOSED, NoticeItem

WEBHOOK_TYPE: Final = "forecast-assets.alerts"
_PAGERDUTY: Final = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.PROBLEM: "critical"}
_COLOURS: Final = {Severity.INFO: "#5b7fa6", Severity.WARNING: "#d9a400", Severity.PROBLEM: "#c0392b"}
_OVER: Final = "#3d8b40"
# What PagerDuty takes of a summary, and Slack of a text.
_SUMMARY: Final = 1024
_SLACK_TEXT: Final = 2900


def email(told: WordedNotice, sender: str, recipients: str) -> EmailMessage:
    """Return a mail; one that is sent again has the same id, by which mail programs show it once."""
    # Some programs show a subject that is folded with a space before it.
    message = EmailMessage(SMTP.clone(max_line_length=998))
    message["Subject"] = told.subject
    message["From"] = sender
    message["To"] = recipients
    message["Date"] = told.notice.made_at
    message["Message-ID"] = f"<{told.notice.notice_id}@forecast-assets>"
    message.set_content(told.text)
    return message


def webhook_body(told: WordedNotice) -> bytes:
    """Return the JSON of a webhook: the same bytes however often it is sent."""
    document = {
        "type": WEBHOOK_TYPE,
        "timestamp": told.notice.made_at.isoformat(),
        "data": {
            "notice_id": told.notice.notice_id,
            "home": told.home,
            "subject": told.subject,
            "alerts": [_item(told, item) for item in told.notice.items],
        },
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()


def slack_body(told: WordedNotice) -> bytes:
    """Return a message of Slack's incoming webhooks: a line, and a coloured block for each alert."""
    blocks = [
        {
            "color": _OVER if item.what == CLOSED else _COLOURS[item.alert.severity],
            "fallback": told.item_text(item)[:_SLACK_TEXT],
            "text": _escaped(told.item_text(item))[:_SLACK_TEXT],
        }
        for item in told.notice.items
    ]
    return json.dumps({"text": _escaped(told.subject), "attachments": blocks}, ensure_ascii=False).encode()


def _escaped(text: str) -> str:
    # Slack takes these for the beginning of links and commands.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def pagerduty_bodies(told: WordedNotice, routing_key: str) -> list[bytes]:
    """Return an event of PagerDuty's Events API v2 for each alert: `trigger`, or `resolve` once it is closed.

    An alert that opens again has the key that it had before, so that it is one incident.

    Source: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
    """
    return [json.dumps(_pagerduty_event(told, item, routing_key)).encode() for item in told.notice.items]


def _pagerduty_event(told: WordedNotice, item: NoticeItem, routing_key: str) -> Mapping[str, Any]:
    key = hashlib.sha256(f"{told.home}\n{item.alert.fingerprint}".encode()).hexdigest()
    event: dict[str, Any] = {"routing_key": routing_key, "dedup_key": key}
    if item.what == CLOSED:
        return {**event, "event_action": "resolve"}
    alert, link = item.alert, told.runbook(item.alert.code)
    links = [{"href": link, "text": "Runbook"}] if link.startswith("http") else []
    return {
        **event,
        "event_action": "trigger",
        "payload": {
            "summary": f"{alert.code} {alert.subject}: {alert.words}"[:_SUMMARY],
            "source": told.home,
            "severity": _PAGERDUTY[alert.severity],
            "timestamp": alert.opened_at.isoformat(),
            "class": alert.code,
            "component": alert.subject,
            "custom_details": {"to_do": alert.remedy, "runbook": link, "alert": alert.alert_id, **alert.facts},
        },
        "links": links,
    }


def _item(told: WordedNotice, item: NoticeItem) -> Mapping[str, Any]:
    alert = item.alert
    return {
        "what": item.what,
        "alert_id": alert.alert_id,
        "fingerprint": alert.fingerprint,
        "code": alert.code,
        "subject": alert.subject,
        "severity": alert.severity,
        "words": alert.words,
        "to_do": alert.remedy,
        "facts": alert.facts,
        "runbook": told.runbook(alert.code),
        "opened_at": alert.opened_at.isoformat(),
        "closed_at": None if alert.closed_at is None else alert.closed_at.isoformat(),
    }
