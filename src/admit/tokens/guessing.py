"""Guessing an HMAC secret: common ones as data, with the endings and spellings that people give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC

from admit.errors import MalformedToken
from admit.jose.algorithms import ALGORITHMS
from admit.jose.encoding import b64url_decode
from admit.tokens.finding import Subject

# From tutorials, defaults of frameworks, example files, and what people type where any text will do.
_WORDS: Final = """
    secret secretkey secret-key secret_key mysecret my-secret my_secret mysecretkey my-secret-key my_secret_key topsecret
    top-secret supersecret super-secret super_secret supersecretkey super-secret-key verysecret very-secret thisisasecret
    this-is-a-secret notasecret not-a-secret jwt jwtsecret jwt-secret jwt_secret jwtkey jwt-key jwt_key jwtsecretkey
    jwt-secret-key jwt_secret_key yourjwtsecret your-jwt-secret your_jwt_secret yoursecret your-secret your_secret
    yoursecretkey your-secret-key your_secret_key your-256-bit-secret your-384-bit-secret your-512-bit-secret
    a-string-secret-at-least-256-bits-long a-string-secret-at-least-384-bits-long a-string-secret-at-least-512-bits-long
    token tokensecret token-secret token_secret accesstokensecret access-token-secret access_token_secret
    refreshtokensecret refresh-token-secret refresh_token_secret auth authsecret auth-secret auth_secret nextauth_secret
    session sessionsecret session-secret session_secret hmac hmackey hmac-key hmac-secret hs256 hs256-secret sha256 key
    mykey my-key signingkey signing-key signing_key signature privatekey private-key private_key apikey api-key api_key
    appsecret app-secret app_secret appkey app-key app_key masterkey master-key master_key encryptionkey password passwd
    passw0rd p@ssw0rd pass passphrase changeme change-me change_me changeit change-this changethis pleasechangeme
    please-change-me replaceme replace-me default example sample demo test testing testsecret test-secret test_secret
    testkey test-key dev devsecret dev-secret dev_secret development staging production prod local localhost admin
    administrator root user guest welcome letmein qwerty qwertyuiop asdf asdfgh abc abcd abcdef abcdefgh iloveyou monkey
    dragon sunshine princess football master hello helloworld hello-world hello_world foo bar foobar baz xyzzy hunter2
    keyboardcat shh shhh shhhh shhhhh shhhhhh django django-insecure flask rails laravel spring express node nodejs nestjs
    fastapi python java golang docker kubernetes react angular api app server client web company acme null undefined none
    true false 0 1 12 123 1234 12345 123456 1234567 12345678 123456789 1234567890 0123456789 111111 000000 123123 654321
    0000000000000000 00000000000000000000000000000000 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    12345678901234567890123456789012 01234567890123456789012345678901 0123456789abcdef 0123456789abcdef0123456789abcdef
    abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz123456
""".split()  # noqa: SIM905 - a list of this length reads better so
_SENTENCES: Final = (
    *("", " ", "keyboard cat", "my secret", "my secret key", "this is a secret", "this is my secret", "super secret"),
    *("super secret key", "top secret", "very secret", "the secret", "some secret", "a secret", "your secret here"),
    *("<your-secret>", "${JWT_SECRET}", "process.env.JWT_SECRET", "{{secret}}", "correct horse battery staple"),
)
_ENDINGS: Final = (
    "",
    "1",
    "12",
    "123",
    "1234",
    "12345",
    "!",
    "!!",
    "1!",
    "123!",
    "#",
    "$",
    "@123",
    "2023",
    "2024",
    "2025",
    "2026",
)
_MOST_FROM_TOKEN: Final = 64


def candidates(subject: Subject) -> Iterator[bytes]:
    """Secrets worth a try: the common ones with their endings, and the words of the token itself."""
    own = [value for value in (*subject.claims.values(), *subject.header.values()) if isinstance(value, str)]
    for word in (*_WORDS, *own[:_MOST_FROM_TOKEN]):
        for spelling in dict.fromkeys((word, word.upper(), word.capitalize())):
            for ending in _ENDINGS:
                yield (spelling + ending).encode("utf-8", "replace")
    for sentence in _SENTENCES:
        yield sentence.encode()
        yield (sentence + "\n").encode()


def guess(subject: Subject, secrets: Iterable[bytes]) -> int | None:
    """The number (from 1) of the secret that the token is signed with; None where none of them is, or it is not HMAC.

    The secret itself is not given back: what prints this answer cannot leak it.
    """
    row = ALGORITHMS.get(subject.alg)
    signing_input, _, encoded = subject.token.rpartition(".")
    if row is None or row.hash is None or not row.symmetric:
        return None
    try:
        signature, data = b64url_decode(encoded.encode("ascii")), signing_input.encode("ascii")
    except (MalformedToken, UnicodeEncodeError):
        return None
    for number, secret in enumerate(secrets, 1):
        try:
            mac = HMAC(secret, row.hash())
            mac.update(data)
            mac.verify(signature)
        except (InvalidSignature, UnsupportedAlgorithm):
            continue
        return number
    return None
