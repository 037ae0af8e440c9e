"""What another thread of the parent was at when it forked, no child waits for."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from admit import Unavailable
from admit.remote.issuer import RemoteIssuer
from admit.remote.jwks import JWKSClient
from admit.remote.status_list import StatusLists
from tests.helpers.fork import succeeds_in_a_child
from tests.remote.conftest import JWKS, METADATA

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def test_a_child_forked_while_the_metadata_was_read_judges_tokens(issuer: Any) -> None:
    reading, go_on, plain = threading.Event(), threading.Event(), issuer.answers[METADATA]

    def held(handler: Any) -> Any:
        reading.set()
        go_on.wait(30)
        return plain(handler)

    issuer.answers[METADATA] = held
    remote = RemoteIssuer(issuer.url, revocations="required")
    verifier, token = remote.verifier(audience="orders"), issuer.token()
    first = threading.Thread(target=verifier.verify, args=(token,))
    first.start()
    assert reading.wait(30)
    issuer.answers[METADATA] = plain
    assert succeeds_in_a_child(lambda: verifier.verify(token))
    go_on.set()
    first.join()
    remote.close()


def test_a_child_forked_while_a_kid_was_looked_for_looks_for_others(issuer: Any) -> None:
    client = JWKSClient(issuer.url + JWKS)
    with client._lock:
        assert succeeds_in_a_child(lambda: client.missing("another"))


def test_a_child_forked_while_a_status_list_was_looked_for_looks_for_others(issuer: Any) -> None:
    lists = StatusLists(JWKSClient(issuer.url + JWKS), issuer=issuer.url)

    def ask() -> None:
        with pytest.raises(Unavailable):
            lists.fetch(issuer.url + "/none")
        lists.close()

    with lists._lock:
        assert succeeds_in_a_child(ask)
