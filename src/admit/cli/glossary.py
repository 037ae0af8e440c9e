"""What header parameters, claims and algorithms mean, in a sentence each, and where that is written."""

from __future__ import annotations

from typing import Final, NamedTuple

from admit.jose.algorithms import ALGORITHMS
from admit.jose.content_encryption import CONTENT_ENCRYPTION


class Term(NamedTuple):
    """What a name stands for, and the section that says so ("" where it is nobody's but the issuer's own)."""

    meaning: str
    source: str


UNKNOWN: Final = Term("A name of the issuer's own, or of a standard that is not known here.", "")

HEADER: Final = {
    "alg": Term("How the token is signed or encrypted.", "RFC 7515 4.1.1"),
    "enc": Term("How the content is encrypted, with a key of its own.", "RFC 7516 4.1.2"),
    "typ": Term("What kind of token this is, so that one kind never passes for another.", "RFC 7515 4.1.9"),
    "cty": Term("What is inside; JWT for a token in a token.", "RFC 7515 4.1.10"),
    "kid": Term("Which of the issuer's keys it is; a name, never a place to look it up.", "RFC 7515 4.1.4"),
    "jku": Term("Where a key set is said to lie. Never to be followed.", "RFC 7515 4.1.2"),
    "jwk": Term("A key, brought by the token itself. Never to be trusted.", "RFC 7515 4.1.3"),
    "x5u": Term("Where a certificate is said to lie. Never to be followed.", "RFC 7515 4.1.5"),
    "x5c": Term("A chain of certificates. Worth what its root is trusted for, and no more.", "RFC 7515 4.1.6"),
    "x5t": Term("The SHA-1 thumbprint of the key's certificate.", "RFC 7515 4.1.7"),
    "x5t#S256": Term("The SHA-256 thumbprint of the key's certificate.", "RFC 7515 4.1.8"),
    "crit": Term("Extensions that whoever does not understand them must refuse the token for.", "RFC 7515 4.1.11"),
    "b64": Term("Whether the payload is signed in base64url.", "RFC 7797 3"),
    "zip": Term("The content was compressed before it was encrypted.", "RFC 7516 4.1.3"),
    "epk": Term("The sender's key for this one message; with the receiver's it gives the secret.", "RFC 7518 4.6.1.1"),
    "apu": Term("About the sender; it goes into the secret.", "RFC 7518 4.6.1.2"),
    "apv": Term("About the receiver; it goes into the secret.", "RFC 7518 4.6.1.3"),
    "iv": Term("The nonce that the content's key was encrypted with.", "RFC 7518 4.7.1.1"),
    "tag": Term("What shows that the content's key was not changed.", "RFC 7518 4.7.1.2"),
    "p2s": Term("The salt that the password was hashed with.", "RFC 7518 4.8.1.1"),
    "p2c": Term(
        "How many times the password was hashed; whoever sets it sets the receiver's work.", "RFC 7518 4.8.1.2"
    ),
    "nonce": Term("A value that shows this was made now, and is not sent again.", ""),
}

CLAIMS: Final = {
    "iss": Term("Who issued it: its keys are the ones to check with.", "RFC 7519 4.1.1"),
    "sub": Term("Whom or what it is about; unique at this issuer.", "RFC 7519 4.1.2"),
    "aud": Term("For whom it is; everybody else must refuse it.", "RFC 7519 4.1.3"),
    "exp": Term("From here on it must be refused.", "RFC 7519 4.1.4"),
    "nbf": Term("Before this it must be refused.", "RFC 7519 4.1.5"),
    "iat": Term("When it was issued.", "RFC 7519 4.1.6"),
    "jti": Term("The name of this one token, to revoke it or to find it in a log.", "RFC 7519 4.1.7"),
    "client_id": Term("The application it was issued to.", "RFC 9068 2.2"),
    "scope": Term("What it allows, at most.", "RFC 9068 2.2.3"),
    "auth_time": Term("When the user last proved who it is.", "RFC 9068 2.2.1"),
    "acr": Term("How strong that proof was, as the issuer grades it.", "RFC 9068 2.2.1"),
    "amr": Term("How it was proved: pwd a password, otp a one-time code, mfa several.", "RFC 8176 2"),
    "roles": Term("The subject's roles.", "RFC 9068 2.2.3.1"),
    "groups": Term("The groups that the subject is in.", "RFC 9068 2.2.3.1"),
    "entitlements": Term("What the subject is entitled to.", "RFC 9068 2.2.3.1"),
    "sid": Term("The session it belongs to; it ends with that.", "OpenID Connect Front-Channel Logout 3"),
    "cnf": Term(
        "The key that whoever presents it must hold: stolen without that, it is worth nothing.", "RFC 7800 3.1"
    ),
    "act": Term("Who acts here on the subject's behalf.", "RFC 8693 4.1"),
    "may_act": Term("Who may act on the subject's behalf.", "RFC 8693 4.4"),
    "nonce": Term("What the client sent along, so that no other answer passes for this one.", "OpenID Connect Core 2"),
    "azp": Term("The application that asked for it.", "OpenID Connect Core 2"),
    "at_hash": Term("Ties it to the access token that came along.", "OpenID Connect Core 3.1.3.6"),
    "c_hash": Term("Ties it to the authorization code that came along.", "OpenID Connect Core 3.3.2.11"),
    "name": Term("The person's name.", "OpenID Connect Core 5.1"),
    "given_name": Term("The person's given name.", "OpenID Connect Core 5.1"),
    "family_name": Term("The person's family name.", "OpenID Connect Core 5.1"),
    "preferred_username": Term("What the person likes to be called; it can change.", "OpenID Connect Core 5.1"),
    "email": Term("The person's mail address; not who it is, since it can pass to another.", "OpenID Connect Core 5.1"),
    "email_verified": Term("Whether the issuer saw that the address is the person's.", "OpenID Connect Core 5.1"),
    "updated_at": Term("When the person's data last changed.", "OpenID Connect Core 5.1"),
    "locale": Term("The person's language.", "OpenID Connect Core 5.1"),
    "picture": Term("Where a picture of the person lies.", "OpenID Connect Core 5.1"),
    "events": Term("What happened: this is an event, and no permission.", "RFC 8417 2.2"),
    "toe": Term("When that happened.", "RFC 8417 2.2"),
    "txn": Term("The transaction it is part of.", "RFC 8417 2.2"),
    "htm": Term("The HTTP method that it proves the key for.", "RFC 9449 4.2"),
    "htu": Term("The URL that it proves the key for.", "RFC 9449 4.2"),
    "ath": Term("The hash of the access token that it goes with.", "RFC 9449 4.2"),
    "epoch": Term("The subject's count of log-outs everywhere: tokens below the newest are cut off.", ""),
}

TYPES: Final = {
    "jwt": Term("A JSON Web Token, of no kind in particular.", "RFC 7519 5.1"),
    "at+jwt": Term("An access token: permission for an API.", "RFC 9068 2.1"),
    "dpop+jwt": Term("A proof that the sender holds a key.", "RFC 9449 4.2"),
    "logout+jwt": Term("Tells that a session is over.", "OpenID Connect Back-Channel Logout 2.4"),
    "secevent+jwt": Term("Tells that something happened.", "RFC 8417 2.3"),
    "token-introspection+jwt": Term("An answer about another token.", "RFC 9701 5"),
    "entity-statement+jwt": Term("What one party of a federation says of another.", "OpenID Federation 3"),
    "jose": Term("Anything signed or encrypted.", "RFC 7515 4.1.9"),
}

_SIGNING: Final = {
    "HS": ("HMAC with SHA-{0}: one shared secret signs and verifies", "RFC 7518 3.2"),
    "RS": ("RSA (PKCS #1 v1.5) with SHA-{0}", "RFC 7518 3.3"),
    "ES": ("ECDSA with SHA-{0}", "RFC 7518 3.4"),
    "PS": ("RSA-PSS with SHA-{0}", "RFC 7518 3.5"),
    "Ed": ("EdDSA on the curve Ed{0}", "RFC 9864 2.2"),
    "ML": ("ML-DSA, made to withstand quantum computers", "RFC 9964"),
}
_MANAGEMENT: Final = {
    "dir": ("A shared secret encrypts the content itself", "RFC 7518 4.5"),
    "RSA": ("The content's key is encrypted to the receiver's RSA key", "RFC 7518 4.3"),
    "ECD": ("The content's key comes of the sender's and the receiver's keys on one curve", "RFC 7518 4.6"),
    "PBE": ("The content's key is encrypted with a password", "RFC 7518 4.8"),
    "A12": ("A shared secret encrypts the content's key", "RFC 7518 4.4"),
    "A19": ("A shared secret encrypts the content's key", "RFC 7518 4.4"),
    "A25": ("A shared secret encrypts the content's key", "RFC 7518 4.4"),
}


def header_term(name: str, value: object, encrypted: bool) -> Term:
    """What a header parameter means, its value looked at where it has few."""
    if isinstance(value, str):
        if name == "alg":
            return _algorithm(value, encrypted) or HEADER[name]
        if name == "typ":
            return TYPES.get(value.lower().removeprefix("application/"), HEADER[name])
        if name == "enc" and value in CONTENT_ENCRYPTION:
            mode = "AES-GCM" if value.endswith("GCM") else "AES-CBC with an HMAC"
            return Term(f"The content is encrypted with {mode}, and any change to it shows.", "RFC 7518 5")
    return HEADER.get(name, UNKNOWN)


def claim_term(name: str) -> Term:
    """What a claim means."""
    return CLAIMS.get(name, UNKNOWN)


def _algorithm(alg: str, encrypted: bool) -> Term | None:
    if alg.lower() == "none":
        return Term("Nothing is signed: anybody can have written this.", "RFC 8725 3.2")
    if encrypted:
        found = _MANAGEMENT.get(alg[:3])
        return Term(f"{found[0]}.", found[1]) if found else None
    row = next((row for row in ALGORITHMS.values() if row.answers_to(alg)), None)
    found = _SIGNING.get(alg[:2]) if row else None
    if row is None or found is None:
        return None
    ending = "." if row.symmetric else ": a private key signs, and its public half verifies."
    return Term(found[0].format(alg[2:] if alg != "EdDSA" else "25519 or Ed448") + ending, found[1])
