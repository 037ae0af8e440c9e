"""The token in what it was copied with: quotes, a header, a cookie, a command, a token endpoint's answer, a mail."""

from __future__ import annotations

import re
from typing import Final

from admit.cli.exits import Exit, Stop
from admit.cli.reading import read

_QUOTES: Final = "\"'`"
_LETTER: Final = "[A-Za-z0-9_-]"
_AROUND: Final = r"\s\"'`“”‘’,;&<>(){}\[\]|^\\"
# What follows must be no damage of the token's own; what stands before it keeps the search from beginning inside a long one.
_PIECE: Final = re.compile(rf"(?<![\w.-])eyJ{_LETTER}+\.{_LETTER}*(?:\.{_LETTER}*){{0,3}}(?=[{_AROUND}]|\Z)")
_SCHEME: Final = re.compile(rf"\b(?:bearer|dpop)\s+([^{_AROUND}]+)", re.IGNORECASE)
_NAMED: Final = re.compile(
    r"(?:export\s+)?[A-Z][\w-]*(?::[ \t]*|=(?=[^=]))(?:(?:jwt|token)\s+)?(.+)", re.DOTALL | re.IGNORECASE
)
_MEMBER: Final = re.compile(r'"(access_token|id_token)"\s*:\s*"([^"]+)"')
_DOCUMENTS: Final[dict[str, str]] = {
    "signatures?": "a signed document in JSON (RFC 7515 7.2), not a JWT: admit.jose.jws_json reads it",
    "ciphertext": "an encrypted document in JSON (RFC 7516 7.2), not a JWT: admit.jose.jwe_json reads it",
}
_DOT: Final = re.compile("%2e", re.IGNORECASE)


def unwrap(text: str) -> tuple[str, str]:
    """The token, bare, and a remark where it is not plain what was taken.

    Raises Stop where there are more than one, or a document in JSON instead.
    """
    text = _DOT.sub(".", text).strip().removeprefix("\ufeff").rstrip(",;").strip()
    members = dict(reversed(_MEMBER.findall(text)))
    for name in ("access_token", "id_token"):
        if name in members:
            return members[name], f"This is the {name} of a JSON answer."
    if len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0]:
        text = text[1:-1].strip()
    lines = text.split()
    if _wrapped(lines):
        return "".join(lines), f"The token was line-wrapped: {len(lines)} lines are joined."
    pieces, schemes = _PIECE.findall(text), _SCHEME.findall(text)
    for member, said in _DOCUMENTS.items():
        if not pieces and re.search(rf'"{member}"\s*:', text):
            raise Stop(f"that is {said}", Exit.MALFORMED)
    named = _NAMED.fullmatch(text)
    token = next(
        (found[0] for found in (pieces, schemes) if len(found) == 1), named[1].strip(_QUOTES) if named else text
    )
    if (len(pieces) > 1 and len(schemes) != 1) or token.count(".eyJ") > 1:
        raise Stop("more than one token was given; give one")
    return token, ""


def _wrapped(lines: list[str]) -> bool:
    """Whether these are the lines of one token: of one width but for the last, and a whole token where they are joined."""
    return len({len(line) for line in lines[:-1]}) == 1 and not read("".join(lines)).problems
