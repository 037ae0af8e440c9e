"""Inspection rules on a token's claims (RFC 7519 4.1, RFC 8725, RFC 9068)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from admit.errors import RefusedClaims, shown
from admit.tokens.finding import Rule, Subject
from admit.tokens.kinds import PLAIN
from admit.tokens.lint import refuse_secrets

_TEXTS: Final = ("iss", "sub", "jti")
_TIMES: Final = ("exp", "nbf", "iat")
_MILLISECONDS: Final = 10**11  # seconds: the year 5138
_LONG: Final = PLAIN.max_lifetime
# Exact names, folded: of a person, and of no use to a service that has the subject.
_PERSONAL: Final = frozenset(
    (
        *(
            "email",
            "emailaddress",
            "mail",
            "phone",
            "phonenumber",
            "mobile",
            "birthdate",
            "birthday",
            "dateofbirth",
            "dob",
        ),
        *(
            "address",
            "streetaddress",
            "postaladdress",
            "ssn",
            "socialsecuritynumber",
            "nationalid",
            "taxid",
            "passport",
        ),
        *(
            "passportnumber",
            "iban",
            "gender",
            "religion",
            "race",
            "ethnicity",
            "diagnosis",
            "salary",
            "ip",
            "ipaddress",
        ),
        *("givenname", "familyname", "fullname", "firstname", "lastname", "middlename"),
    )
)
_MAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[A-Za-z]{2,}")
_CARD: Final = re.compile(r"[0-9](?:[ -]?[0-9]){12,18}")
# Credentials that say themselves what they are, by the prefixes that secret scanners look for.
_CREDENTIAL: Final = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*|(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|github_pat_\w{30,}|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,}|[rs]k_live_\w{16,}|admit_[a-z]{2}_[\w.-]{16,}"
    r"|-----BEGIN [A-Z0-9 ]*PRIVATE KEY"
)
_SEPARATORS: Final = re.compile(r"[-_. ]")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _readable(subject: Subject) -> bool:
    return bool(subject.claims) and not subject.encrypted


def _missing(name: str) -> Any:
    def find(subject: Subject) -> str | None:
        return f"there is no {name}" if _readable(subject) and name not in subject.claims else None

    return find


def _no_audience(subject: Subject) -> str | None:
    empty = subject.claims.get("aud") in ("", []) and _readable(subject)
    return "aud is empty" if empty else _missing("aud")(subject)


def _wrong_type(subject: Subject) -> str | None:
    wrong = [name for name in _TEXTS if not isinstance(subject.claims.get(name, ""), str)]
    aud = subject.claims.get("aud", "")
    if not all(isinstance(each, str) for each in (aud if isinstance(aud, list) else [aud])):
        wrong.append("aud")
    return f"{', '.join(wrong)} is not a string" if wrong else None


def _not_a_time(subject: Subject) -> str | None:
    wrong = [name for name in _TIMES if name in subject.claims and not _number(subject.claims[name])]
    return f"{', '.join(wrong)} is not a number" if wrong else None


def _milliseconds(subject: Subject) -> str | None:
    values = ((name, subject.claims.get(name)) for name in _TIMES)
    far = [name for name, value in values if _number(value) and value is not None and abs(value) >= _MILLISECONDS]
    return f"{', '.join(far)} looks like milliseconds" if far else None


def _times(subject: Subject) -> dict[str, float]:
    known = ((name, subject.claims.get(name)) for name in _TIMES)
    return {name: value for name, value in known if _number(value) and value is not None and abs(value) < _MILLISECONDS}


def _never_valid(subject: Subject) -> str | None:
    times = _times(subject)
    later = [name for name in ("iat", "nbf") if name in times and times.get("exp", times[name] + 1) <= times[name]]
    return f"exp is not after {later[0]}" if later else None


def _long_life(subject: Subject) -> str | None:
    times = _times(subject)
    start = times.get("iat", times.get("nbf"))
    if start is None or "exp" not in times or times["exp"] - start <= _LONG.total_seconds():
        return None
    try:
        life = timedelta(seconds=times["exp"] - start)
    except OverflowError:
        return "it lives longer than any calendar"
    return f"it lives {life.days} days" if life.days >= 2 else f"it lives {life.total_seconds() / 3600:.0f} hours"


def _secret(subject: Subject) -> str | None:
    if not _readable(subject):
        return None
    try:
        refuse_secrets(subject.claims)
    except RefusedClaims as error:
        return str(error).partition(",")[0].partition(";")[0]
    return None


def _credential(subject: Subject) -> str | None:
    for path, value in _strings(subject.claims):
        if _CREDENTIAL.search(value):
            return f"{path} holds a credential"
    return None


def _personal(subject: Subject) -> str | None:
    named = [name for name in subject.claims if _SEPARATORS.sub("", name).lower() in _PERSONAL]
    found = [shown(name) for name in named]
    for path, value in _strings(subject.claims):
        if path not in found and (_MAIL.fullmatch(value) or (_CARD.fullmatch(value) and _luhn(value))):
            found.append(path)
    return f"{', '.join(found[:5])}{', and more' if len(found) > 5 else ''}" if found else None


def _luhn(text: str) -> bool:
    """Whether the digits have the check sum of payment cards (ISO/IEC 7812-1)."""
    digits = [int(each) for each in text if each.isdigit()][::-1]
    return sum(digit if not index % 2 else sum(divmod(2 * digit, 10)) for index, digit in enumerate(digits)) % 10 == 0


def _strings(claims: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every string at any depth, with the name of the claim it is in. Payloads were read with a bound on depth."""
    waiting: list[tuple[str, object]] = [(shown(name), value) for name, value in claims.items()]
    while waiting:
        name, value = waiting.pop(0)
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, dict):
            waiting += [(name, inner) for inner in value.values()]
        elif isinstance(value, list):
            waiting += [(name, inner) for inner in value]


RULES: Final = (
    Rule(
        "exp-missing",
        "error",
        "Without exp the token never ends: whoever finds it in a log next year can use it (RFC 7519 4.1.4).",
        "Set exp, minutes ahead, and renew with a refresh token.",
        _missing("exp"),
    ),
    Rule(
        "time-type",
        "error",
        "A time is a number of seconds since 1970 (RFC 7519 2). Readers take a string or a boolean for 0, for now, or not at all.",
        "Write times as JSON numbers.",
        _not_a_time,
    ),
    Rule(
        "claim-type",
        "error",
        "iss, sub and jti are strings, and aud is one or a list of them (RFC 7519 4.1). Readers that take something else take 5"
        " for '5', or a list for its first entry, and then two of them see two subjects.",
        "Write them as JSON strings, and leave out what has no value.",
        _wrong_type,
    ),
    Rule(
        "time-milliseconds",
        "error",
        "A time this far away was most likely written in milliseconds: the token lives for fifty thousand years.",
        "Write seconds: divide by 1000.",
        _milliseconds,
    ),
    Rule(
        "never-valid",
        "error",
        "The token ends before it begins.",
        "Set exp after iat and nbf.",
        _never_valid,
    ),
    Rule(
        "long-life",
        "warning",
        f"The token lives longer than {_LONG.total_seconds() / 3600:.0f} hours, and a stolen one as long (RFC 9068 wants short"
        " lives, RFC 9700 4.3).",
        "Let access tokens live 5 to 10 minutes, and renew them with a refresh token.",
        _long_life,
    ),
    Rule(
        "iss-missing",
        "warning",
        "Without iss nobody knows whose keys to check it with (RFC 8725 3.8).",
        "Set iss to the issuer's URL, and compare it exactly.",
        _missing("iss"),
    ),
    Rule(
        "aud-missing",
        "warning",
        "Without aud the token is good everywhere: one service can take what it received to another (RFC 8725 3.9).",
        "Set aud to the one service it is for, and check it there.",
        _no_audience,
    ),
    Rule(
        "iat-missing",
        "note",
        "Without iat nobody can tell how old the token is, and a cap on its life cannot be enforced (RFC 7519 4.1.6).",
        "Set iat.",
        _missing("iat"),
    ),
    Rule(
        "jti-missing",
        "note",
        "Without jti this one token cannot be named: neither revoked, nor found in a log, nor refused when it comes again"
        " (RFC 7519 4.1.7).",
        "Set jti to a random id.",
        _missing("jti"),
    ),
    Rule(
        "secret-claim",
        "error",
        "A claim is named like a secret, or holds a private key. A payload is encoded, not encrypted: whoever holds the token reads"
        " it.",
        "Leave it out; where it has to travel, encrypt the token (RFC 7516).",
        _secret,
    ),
    Rule(
        "credential-value",
        "error",
        "A claim's value is a credential by its looks: a token, a cloud or repository key, a private key.",
        "Leave it out, and replace it: it has been in logs.",
        _credential,
    ),
    Rule(
        "personal-data",
        "warning",
        "Claims that tell about a person travel with every request, and end in logs and browsers.",
        "Carry the subject's id, and let the service that needs more look it up.",
        _personal,
    ),
)
"""In the order in which they are reported."""
