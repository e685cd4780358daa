"""Destinations take notifications in their own formats, from real servers; what fails says why, and no secret."""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from forecast_assets.alerts.destinations import NotTakenError, read_destination, read_destinations
from forecast_assets.alerts.wording import WordedNotice
from forecast_assets.core.errors import InputError
from resources.operational.alerts import CLOSED, OPENED, Alert, Notice, NoticeItem
from tests.support.alert_receivers import http_receiver, mail_receiver

NOW = datetime(2025, 7, 1, 8, tzinfo=UTC)
LATE = Alert(
    3, "late-feed/sales", "late-feed", "sales", "`sales` ends on <2025-06-29>.", "Ask.", {"feed": "sales"}, "open",
    NOW, NOW,
)  # fmt: skip
OVER = Alert(
    4, "redis-down/redis", "redis-down", "redis", "It does not answer.", "Start it.", {}, "closed", NOW, NOW, NOW
)  # fmt: skip
TOLD = WordedNotice(
    Notice("0e7d67d2-edfc-423c-ac9e-8b5b7ec9e006", NOW, (NoticeItem(OPENED, LATE), NoticeItem(CLOSED, OVER))),
    "/data/var on host",
    "https://wiki.example/runbooks",
)
SECRET = f"whsec_{base64.b64encode(b'a secret of thirty-two bytes ...').decode()}"


def test_a_mail_says_what_is_wrong_what_to_do_and_where_that_stands() -> None:
    with mail_receiver() as server:
        read_destination(f"smtp://127.0.0.1:{server.port}?to=ana@example.com&to=ben@example.com").send(TOLD)
    ((envelope, mail),) = server.mails
    assert envelope.rcpt_tos == ["ana@example.com", "ben@example.com"]
    assert mail["subject"] == "[forecast-assets] 1 opened, 1 closed: late-feed sales, redis-down redis"
    assert mail["message-id"] == "<0e7d67d2-edfc-423c-ac9e-8b5b7ec9e006@forecast-assets>"
    text = mail.get_content().replace("\r\n", "\n")
    assert "OPENED problem: late-feed sales (alert 3)\n`sales` ends on <2025-06-29>.\nTo do: Ask.\n" in text
    assert "Runbook: https://wiki.example/runbooks/late-feed.md" in text
    assert "forecast-assets alerts acknowledge 3 --by NAME" in text
    assert "CLOSED warning: redis-down redis (alert 4)" in text


def test_a_mail_server_with_a_password_is_given_it() -> None:
    seen = []

    def check(_server: object, _session: object, _envelope: object, _how: str, said: object) -> AuthResult:
        assert isinstance(said, LoginPassword)
        seen.append((said.login, said.password))
        return AuthResult(success=said.password == b"p@ss", handled=False)

    options = {"authenticator": check, "auth_require_tls": False}
    with mail_receiver(**options) as server:
        read_destination(f"smtp://ana:p%40ss@127.0.0.1:{server.port}?to=ana@example.com").send(TOLD)
        with pytest.raises(NotTakenError, match=r"^the server answered 535$"):
            read_destination(f"smtp://ana:wr0ng@127.0.0.1:{server.port}?to=ana@example.com").send(TOLD)
    assert seen[0] == (b"ana", b"p@ss")
    assert len(server.mails) == 1


def test_a_password_is_not_sent_over_the_network_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast_assets.alerts.destinations._is_this_machine", lambda _: False)
    with mail_receiver() as server, pytest.raises(NotTakenError, match="no TLS"):
        read_destination(f"smtp://ana:secret@127.0.0.1:{server.port}?to=ana@example.com").send(TOLD)
    assert server.mails == []


def test_a_mail_server_whose_certificate_nobody_knows_is_refused(tmp_path: Path) -> None:
    context = own_certificate(tmp_path)
    with (
        mail_receiver(tls_context=context, require_starttls=True) as server,
        pytest.raises(NotTakenError, match="SSLCertVerificationError"),
    ):
        read_destination(f"smtp://127.0.0.1:{server.port}?to=ana@example.com").send(TOLD)


def test_starttls_is_taken_where_it_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = own_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with mail_receiver(tls_context=context, require_starttls=True) as server:
        read_destination(f"smtp://localhost:{server.port}?to=ana@example.com").send(TOLD)
    assert len(server.mails) == 1


def own_certificate(folder: Path) -> ssl.SSLContext:
    import subprocess

    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def test_a_webhook_is_signed_as_standard_webhooks_are() -> None:
    with http_receiver() as server:
        read_destination(server.address("webhook", f"/hook?x=1#{SECRET}")).send(TOLD)
    (post,) = server.posts
    assert post.path == "/hook?x=1"
    signed = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode() + post.body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert post.headers["webhook-signature"] == f"v1,{expected}"
    assert post.headers["webhook-id"] == TOLD.notice.notice_id
    assert abs(int(post.headers["webhook-timestamp"]) - time.time()) < 60
    alerts = post.said["data"]["alerts"]
    assert [(each["what"], each["code"], each["severity"]) for each in alerts] == [
        ("opened", "late-feed", "problem"),
        ("closed", "redis-down", "warning"),
    ]
    assert alerts[0]["runbook"] == "https://wiki.example/runbooks/late-feed.md"


def test_a_webhook_that_is_sent_again_has_the_same_bytes_and_id() -> None:
    with http_receiver() as server:
        destination = read_destination(server.address("webhook", "/"))
        destination.send(TOLD)
        destination.send(TOLD)
    first, second = server.posts
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert "webhook-signature" not in first.headers


def test_slack_is_sent_a_block_for_each_alert_with_its_signs_escaped() -> None:
    with http_receiver() as server:
        read_destination(server.address("slack", "/services/T0/B0/XYZ")).send(TOLD)
    (post,) = server.posts
    assert post.path == "/services/T0/B0/XYZ"
    assert post.said["text"].startswith("[forecast-assets] 1 opened, 1 closed")
    assert [each["color"] for each in post.said["attachments"]] == ["#c0392b", "#3d8b40"]
    assert "&lt;2025-06-29&gt;" in post.said["attachments"][0]["text"]


def test_pagerduty_gets_an_incident_per_alert_that_its_end_resolves() -> None:
    with http_receiver() as server:
        read_destination(server.address("pagerduty", "/v2/enqueue#R0UT1NG")).send(TOLD)
    trigger, resolve = (post.said for post in server.posts)
    assert {post.path for post in server.posts} == {"/v2/enqueue"}
    assert (trigger["event_action"], trigger["routing_key"]) == ("trigger", "R0UT1NG")
    assert trigger["payload"]["severity"] == "critical"
    assert trigger["payload"]["summary"].startswith("late-feed sales: ")
    assert trigger["links"][0]["href"].endswith("late-feed.md")
    assert (resolve["event_action"], "payload" in resolve) == ("resolve", False)
    closed = WordedNotice(Notice("2", NOW, (NoticeItem(CLOSED, LATE),)), TOLD.home, TOLD.runbooks)
    with http_receiver() as server:
        read_destination(server.address("pagerduty", "/#R0UT1NG")).send(closed)
    assert server.posts[0].said["dedup_key"] == trigger["dedup_key"] != resolve["dedup_key"]


@pytest.mark.parametrize("status", [301, 400, 429, 500])
def test_an_answer_that_is_no_yes_is_a_failure(status: int) -> None:
    with http_receiver() as server:
        server.status = status
        with pytest.raises(NotTakenError, match=f"^it answered {status}$"):
            read_destination(server.address("slack", "/SECRET")).send(TOLD)
    assert len(server.posts) == 1, "nobody is asked whom a redirection names"


def test_who_does_not_answer_is_left_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast_assets.alerts.destinations.SECONDS", 0.3)
    with http_receiver() as server, closing(socket.create_server(("127.0.0.1", 0))) as silent:
        server.waits_seconds = 2.0
        port = silent.getsockname()[1]
        for address in (server.address("webhook", "/SECRET"), f"smtp://127.0.0.1:{port}?to=SECRET@b.c"):
            began = time.monotonic()
            with pytest.raises(NotTakenError, match=r"^(ReadTimeout|TimeoutError|SMTPServerDisconnected)$") as failed:
                read_destination(address).send(TOLD)
            assert time.monotonic() - began < 1.5
            assert "SECRET" not in str(failed.value)


@pytest.mark.parametrize(
    "address",
    [
        "https://hooks.example/SECRET",
        "ftp+https://x/SECRET",
        "slack+ftp://x/SECRET",
        "smtp://ana:SECRET@host",
        "smtp://ana:SECRET@host?to=nobody",
        "smtp://host:SECRET?to=a@b.c",
        "webhook+https://host/#SECRET!",
        "pagerduty+https://SECRET.example/",
        "webhook+https://[SECRET",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_showing_it(address: str) -> None:
    with pytest.raises(InputError, match="FORECAST_ASSETS_ALERT_TO") as refused:
        read_destinations([address])
    assert "SECRET" not in str(refused.value).replace("whsec_SECRET", "")


def test_names_show_kind_and_host_and_no_secret() -> None:
    addresses = [
        "smtp://ana:SECRET@mail.example?to=ana@example.com",
        "webhook+https://hooks.example/SECRET#whsec_SECRETSECRET==",
        "slack+https://hooks.slack.com/services/SECRET",
        "pagerduty+https://events.pagerduty.com/v2/enqueue#SECRET",
    ]
    names = [each.name for each in read_destinations([*addresses, addresses[2]])]
    assert [name.rpartition(" (")[0] for name in names] == [
        "mail to ana@example.com through mail.example",
        "webhook at hooks.example",
        "Slack at hooks.slack.com",
        "PagerDuty at events.pagerduty.com",
    ]
    assert "SECRET" not in json.dumps(names)
