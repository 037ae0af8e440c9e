"""The one token of a request: in its header, its subprotocol or its cookie, and never in two ways or in the URL."""

from __future__ import annotations

import pytest

from admit import Cookies
from admit.errors import AdmitError, ForeignOrigin
from admit.tokens.bearer import MissingToken, UnreadableToken
from admit.tokens.presented import Presented, TokenInUrl, offered, presented, token_of

SHOP = "https://shop.example"
COOKIES = Cookies(SHOP)
HEADER, COOKIE = ("authorization", "Bearer a.b.c"), ("cookie", f"{COOKIES.access}=a.b.c")
ORIGIN, PROTOCOL = ("origin", SHOP), ("sec-websocket-protocol", "chat, bearer.a.b.c")


def request(*headers: tuple[str, str], method: str = "GET", query: bytes = b"", ws: bool = False) -> Presented:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return presented(raw, method=method, query=query, is_websocket=ws)


@pytest.mark.parametrize(
    "given",
    [
        request(HEADER),
        request(HEADER, method="POST"),
        request(HEADER, COOKIE, method="POST"),
        request(COOKIE),
        request(COOKIE, method="HEAD"),
        request(COOKIE, ORIGIN, method="DELETE"),
        request(COOKIE, ORIGIN, ws=True),
        request(PROTOCOL, ws=True),
        request(PROTOCOL, HEADER, COOKIE, ws=True),
        request(HEADER, query=b"access_token=d.e.f"),
        request(COOKIE, ("cookie", "x=y"), ("x-authorization", "Bearer d.e.f")),
    ],
)
def test_the_token_is_found_wherever_it_may_be_and_may_be_in_two_places(given: Presented) -> None:
    assert token_of(given, COOKIES) == "a.b.c"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (request(), MissingToken),
        (request(("authorization", "Basic eA==")), MissingToken),
        (request(PROTOCOL), MissingToken),  # no WebSocket: a subprotocol means nothing
        (request(("sec-websocket-protocol", "chat, xbearer.a"), ws=True), MissingToken),
        (request(HEADER, HEADER), UnreadableToken),
        (request(HEADER, ("cookie", f"{COOKIES.access}=d.e.f")), UnreadableToken),
        (request(PROTOCOL, ("cookie", f"{COOKIES.access}=d.e.f"), ORIGIN, ws=True), UnreadableToken),
        (request(PROTOCOL, ("authorization", "Bearer d.e.f"), ws=True), UnreadableToken),
        (request(("sec-websocket-protocol", "bearer.a.b.c,bearer.d.e.f"), ws=True), UnreadableToken),
        (request(COOKIE, method="POST"), ForeignOrigin),
        (request(COOKIE, method="TRACE"), ForeignOrigin),
        (request(COOKIE, method=""), ForeignOrigin),
        (request(COOKIE, method="get"), ForeignOrigin),
        (request(COOKIE, ws=True), ForeignOrigin),
        (request(query=b"access_token=a.b.c"), TokenInUrl),
        (request(query=b"x=1&access_token=a"), TokenInUrl),
        (request(query=b"t=eyJhbGciOiJub25lIn0.e30.", ws=True), TokenInUrl),
        (request(query=b"t=eyJhbGciOiJub25lIn0.e30."), MissingToken),
        (request(query=b"xaccess_token=a"), MissingToken),
        (request(query=b"token=a", ws=True), MissingToken),
    ],
)
def test_what_brings_no_token_or_brings_it_in_a_dangerous_way_is_refused(
    given: Presented, error: type[AdmitError]
) -> None:
    with pytest.raises(error) as caught:
        token_of(given, COOKIES)
    assert type(caught.value) is error


def test_without_cookies_a_cookie_is_not_looked_at() -> None:
    with pytest.raises(MissingToken):
        token_of(request(COOKIE))
    assert token_of(request(HEADER, ("cookie", f"{COOKIES.access}=d.e.f"))) == "a.b.c"


def test_the_subprotocols_offered_are_those_of_all_lines() -> None:
    lines = [("sec-websocket-protocol", "a, b"), ("sec-websocket-protocol", ",c ,")]
    assert offered(request(*lines, ws=True)) == ["a", "b", "c"]


def test_a_request_is_no_handshake_unless_that_is_said() -> None:
    assert presented([]) == Presented({}) == Presented({}, "", b"", False)


def test_only_what_browsers_send_marks_a_browser() -> None:
    for name in ("origin", "sec-fetch-site", "referer"):
        assert request((name, "x")).is_from_browser
    assert not request(HEADER, COOKIE, ("user-agent", "Mozilla")).is_from_browser
