"""Cookies: their attributes, how they are read, and whose pages may send them."""

from __future__ import annotations

from typing import Any

import pytest

from admit import ConfigurationError, Cookies
from admit.errors import ForeignOrigin, InvalidRequest
from admit.tokens.presented import Presented, presented

SHOP = "https://shop.example"
COOKIES = Cookies(SHOP)
ACCESS = "__Host-admit-access"


def request(*headers: tuple[str, str], method: str = "POST", is_websocket: bool = False) -> Presented:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return presented(raw, method=method, is_websocket=is_websocket)


def test_both_cookies_are_bound_to_the_host_secure_and_out_of_reach_of_scripts() -> None:
    cookies = Cookies(SHOP)
    access, refresh = cookies.set(cookies.access, "a.b.c", 600), cookies.set(cookies.refresh, "r", 60)
    assert access == "__Host-admit-access=a.b.c; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert refresh == "__Host-admit-refresh=r; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Strict"
    assert "SameSite=Strict" in Cookies(SHOP, same_site="strict").set(ACCESS, "a", 1)
    for cleared in cookies.cleared():
        assert "=; Max-Age=0; Path=/; Secure; HttpOnly" in cleared


def test_on_loopback_http_they_have_neither_prefix_nor_secure() -> None:
    cookies = Cookies(["http://localhost:8000", "http://127.0.0.1:8000"], name="shop")
    assert cookies.set(cookies.access, "a", 1) == "shop-access=a; Max-Age=1; Path=/; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize(
    "origins",
    [
        *([], "", "*", "null", "https://*.example", "https://shop.example/", "https://shop.example:443"),
        *("https://Shop.example", "https://bücher.example", "shop.example", "https://", "https://a@shop.example"),
        *("http://shop.example", "http://127.0.0.1.example", "http://localhost.example", "http://10.0.0.1"),
        *(["https://shop.example", "http://localhost:8000"], [5], 5, None, "file://", "https://shop.example\n"),
    ],
)
def test_what_a_browser_would_never_send_is_refused_when_they_are_built(origins: Any) -> None:
    with pytest.raises(ConfigurationError):
        Cookies(origins)


@pytest.mark.parametrize("same_site", ["none", "None", None, "Lax", ""])
def test_there_is_no_cookie_that_other_sites_may_send(same_site: Any) -> None:
    with pytest.raises(ConfigurationError):
        Cookies(SHOP, same_site=same_site)


@pytest.mark.parametrize("name", ["", "A", "__Host-x", "a=b", "a;b", "a" * 33, 5])
def test_a_name_cannot_bring_attributes_along(name: Any) -> None:
    with pytest.raises(ConfigurationError):
        Cookies(SHOP, name=name)


def test_a_token_that_browsers_would_drop_silently_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="4096") as refused:
        COOKIES.set(ACCESS, "secret" * 700, 1)
    assert "secretsecret" not in str(refused.value)
    assert COOKIES.set(ACCESS, "x" * (4096 - len(ACCESS)), 1)


@pytest.mark.parametrize(
    ("lines", "token"),
    [
        ([f"{ACCESS}=a.b.c"], "a.b.c"),
        ([f"theme=dark; {ACCESS}=a.b.c; x"], "a.b.c"),
        (["theme=dark", f"{ACCESS}=a.b.c"], "a.b.c"),
        ([f"{ACCESS}=a=b"], "a=b"),
        ([], None),
        ([f"{ACCESS}="], None),
        ([f"x{ACCESS}=a; {ACCESS.lower()}=a; {ACCESS}-old=a; ={ACCESS}=a; {ACCESS}"], None),
    ],
)
def test_a_cookie_is_read_by_its_exact_name(lines: list[str], token: str | None) -> None:
    assert COOKIES.read(request(*(("cookie", line) for line in lines)), ACCESS) == token


@pytest.mark.parametrize(
    "line", [f"{ACCESS}=a; {ACCESS}=a", f"{ACCESS}=a; {ACCESS}=b", f'{ACCESS}="a"', f"{ACCESS}=a b", f"{ACCESS}=\xe4"]
)
def test_a_cookie_that_comes_twice_or_is_no_token_is_refused(line: str) -> None:
    with pytest.raises(InvalidRequest):
        COOKIES.read(request(("cookie", line)), ACCESS)


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", SHOP)],
        [("origin", SHOP), ("sec-fetch-site", "same-site")],
        [("sec-fetch-site", "same-origin")],
        [("referer", SHOP)],
        [("referer", SHOP + "/basket?of=alice")],
    ],
)
def test_pages_that_were_named_may_send_them(headers: list[tuple[str, str]]) -> None:
    COOKIES.must_be_own_page(request(*headers))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("origin", "")],
        [("origin", "http://shop.example")],
        [("origin", "https://shop.example.evil.example")],
        [("origin", "https://shop.example:8443")],
        [("origin", "https://shop.example, https://evil.example")],
        [("origin", SHOP), ("origin", SHOP)],
        [("origin", "https://evil.example"), ("sec-fetch-site", "same-origin"), ("referer", SHOP)],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site"), ("referer", SHOP)],
        [("sec-fetch-site", "none")],
        [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
        [("referer", "https://evil.example/?" + SHOP)],
        [("referer", SHOP + ".evil.example/")],
        [("referer", SHOP + "@evil.example/")],
        [("referer", SHOP), ("referer", SHOP)],
        [("referer", "about:blank")],
    ],
)
def test_what_comes_from_elsewhere_or_does_not_say_whence_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(ForeignOrigin):
        COOKIES.must_be_own_page(request(*headers))


def test_a_websocket_says_its_origin_or_is_refused() -> None:
    COOKIES.must_be_own_page(request(("origin", SHOP), is_websocket=True))
    for headers in ([("sec-fetch-site", "same-origin")], [("referer", SHOP)], [("origin", "https://evil.example")]):
        with pytest.raises(ForeignOrigin):
            COOKIES.must_be_own_page(request(*headers, is_websocket=True))


def test_the_error_says_to_a_developer_which_origin_came_and_where_to_allow_it() -> None:
    with pytest.raises(ForeignOrigin) as refused:
        COOKIES.must_be_own_page(request(("origin", "https://shop.test\x1b[1m")))
    assert "https://shop.test\\x1b[1m" in str(refused.value)
    assert "Cookies(...)" in str(refused.value)
    assert "shop" not in refused.value.public
