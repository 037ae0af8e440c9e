"""Status lists over HTTP: what anybody gets, what caches may do with it, and how soon a logout is seen by others."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from admit import KeySet, Verifier
from admit.errors import RevokedToken
from admit.remote.issuer import RemoteIssuer
from admit.remote.status_list import StatusLists
from admit.tokens.status_list import StatusListToken
from tests.server.conftest import Served

JWT = "application/statuslist+jwt"


@pytest.fixture(scope="module")
def service(serve: Callable[..., Served]) -> Served:
    served = serve("--status-list-ttl", "2s")
    served.add_user()
    return served


def test_a_list_is_a_signed_token_that_everybody_may_read_and_caches_may_keep_for_a_moment(service: Served) -> None:
    url = service.url + "/status-lists/0"
    answer = service.http.get(url, headers={"Accept": JWT})
    assert (answer.status_code, answer.headers["content-type"]) == (200, JWT)
    assert answer.headers["cache-control"] == "public, max-age=1"
    keys = KeySet.from_jwks(service.http.get(service.url + "/.well-known/jwks.json").json())
    token = StatusListToken.read(answer.content, keys, uri=url, issuer=service.url, now=time.time())
    assert (token.ttl, token.statuses.bits) == (2, 1)


def test_who_holds_the_list_already_is_not_sent_it_again(service: Served) -> None:
    url = service.url + "/status-lists/0"
    for _ in range(5):  # another one may be made at any moment
        tag = service.http.get(url).headers["etag"]
        same = service.http.get(url, headers={"If-None-Match": f'"x", W/{tag}'})
        if same.status_code == 304:
            break
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert service.http.get(url, headers={"If-None-Match": '"x"'}).status_code == 200
    assert service.http.get(url, headers={"If-None-Match": "*"}).status_code == 304
    for _ in range(5):
        tag = service.http.get(url).headers["etag"]
        same = service.http.get(url, headers=[("If-None-Match", '"x"'), ("If-None-Match", tag)])
        if same.status_code == 304:
            break
    assert same.status_code == 304  # one list over two lines


@pytest.mark.parametrize("number", ["1", "00", "-1", "0x", "1" * 30, "0\u0660"])
def test_other_lists_are_not_found(service: Served, number: str) -> None:
    assert service.http.get(f"{service.url}/status-lists/{number}").status_code == 404


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (JWT, 200),
        ("*/*", 200),
        ("application/*", 200),
        (f"text/html, {JWT};q=0.5", 200),
        ("", 200),
        ("application/statuslist+cwt", 406),
        ("application/json", 406),
        (f"{JWT};q=0", 406),
        (f"*/*, {JWT};q=0.000", 406),
        (f"*/*;q=0, {JWT};q=0.001", 200),
        ("application/*;q=0, */*", 406),
    ],
)
def test_the_one_media_type_there_is_is_answered_or_nothing(service: Served, accept: str, status: int) -> None:
    assert service.http.get(service.url + "/status-lists/0", headers={"Accept": accept}).status_code == status


def test_an_accept_header_over_two_lines_is_one_list(service: Served) -> None:
    headers = [("Accept", "application/json"), ("Accept", JWT)]
    assert service.http.get(service.url + "/status-lists/0", headers=headers).status_code == 200


def test_lists_of_earlier_times_are_not_kept_and_the_answer_says_so(service: Served) -> None:
    answer = service.http.get(service.url + "/status-lists/0?time=1700000000")
    assert answer.status_code == 501


def test_the_metadata_leads_to_all_lists(service: Served) -> None:
    metadata = service.http.get(service.url + "/.well-known/oauth-authorization-server").json()
    answer = service.http.get(metadata["status_list_aggregation_endpoint"])
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"status_lists": [service.url + "/status-lists/0"]}


def test_a_service_without_lists_says_so(serve: Callable[..., Any]) -> None:
    served = serve()
    assert served.http.get(served.url + "/status-lists/0").status_code == 404
    assert served.http.get(served.url + "/status-lists").json() == {"status_lists": []}
    metadata = served.http.get(served.url + "/.well-known/oauth-authorization-server").json()
    assert "status_list_aggregation_endpoint" not in metadata


def passes(verifier: Verifier[None], token: str) -> bool:
    try:
        verifier.verify(token)
    except RevokedToken:
        return False
    return True


def test_a_logout_is_seen_by_a_verifier_that_knows_only_the_status_list(service: Served) -> None:
    remote = RemoteIssuer(service.url, revocations="none")
    lists = StatusLists(remote.keys, issuer=service.url, max_age=timedelta(minutes=1))
    try:
        verifier = Verifier(remote.keys, issuer=service.url, audience="orders", revocations=lists)
        out, stays = service.login(), service.login()
        for tokens in (out, stays):
            assert verifier.verify(tokens["access_token"]).sid
        service.post("/logout", refresh_token=out["refresh_token"])
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and passes(verifier, out["access_token"]):
            time.sleep(0.05)
        assert not passes(verifier, out["access_token"])
        assert verifier.verify(stays["access_token"]).sid
    finally:
        lists.close()
        remote.close()
