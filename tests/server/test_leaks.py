"""The search for secrets in logs finds what it is made for."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from admit import Key, Signer
from tests.helpers.leaks import Listener, leaks

TOKEN = Signer(Key.generate("ES256"), issuer="https://a.example", audience="b", lifetime=timedelta(minutes=1)).sign(
    sub="c", client_id="d"
)
LOGGED = {
    "an access token": TOKEN,
    "a refresh token": "admit_rt_" + "a" * 60,
    "a client secret": "admit_cs_" + "a" * 43,
    "a private key": "-----BEGIN PRIVATE KEY-----",
    "a password": "user=alice password=correct horse battery staple",
}


@pytest.mark.parametrize("what", LOGGED)
def test_a_secret_that_is_logged_is_found(what: str) -> None:
    listener, log = Listener(), logging.getLogger("elsewhere")
    log.addHandler(listener)
    try:
        log.warning("refused: %s", LOGGED[what])
    finally:
        log.removeHandler(listener)
    assert len(listener.found) == 1
    assert LOGGED[what] not in listener.found[0]


def test_what_is_no_secret_is_not_found() -> None:
    assert leaks("POST /token 200 3.1 ms 127.0.0.1; admit_rt_ is a prefix, eyJ too") == []
