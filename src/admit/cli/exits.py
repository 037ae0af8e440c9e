"""Exit codes: what a script may rely on. 0 ok, 1 unexpected, 2 usage; from 10 on, the verdict on a token."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from admit import errors
from admit.keyring.wrapping import MissingMasterKey, WrongMasterKey


class Exit(IntEnum):
    """What the command ends with: of several verdicts, the first in the order of verification."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    SIGNATURE = 10
    TIME = 11
    CLAIMS = 12
    NO_KEY = 13
    NETWORK = 14
    MALFORMED = 15
    REVOKED = 16
    LINT = 17
    DIFFERENT = 18
    PORT = 20
    FOLDER = 21
    DATABASE = 22
    MASTER_KEY = 23
    UNSAFE = 24
    REFUSED = 25
    UNHEALTHY = 26
    INTERRUPTED = 130
    CLOSED_PIPE = 141


MEANING: Final[dict[Exit, str]] = {
    Exit.OK: "done; for verify: the token is valid",
    Exit.UNEXPECTED: "something unexpected; for demo: a step did not do what it says",
    Exit.USAGE: "the command line is wrong, or a file, key or user named in it cannot be used",
    Exit.SIGNATURE: "the signature is not the key's, or the token does not decrypt",
    Exit.TIME: "expired, or not yet valid",
    Exit.CLAIMS: "issuer, audience, kind or another claim is not as expected, or is refused",
    Exit.NO_KEY: "none of the keys given is the one the token names; for admin keys rotate: no standby key can sign yet",
    Exit.NETWORK: "a service could not be reached",
    Exit.MALFORMED: "not a token, or a damaged one",
    Exit.REVOKED: "revoked; for introspect: not active",
    Exit.LINT: "lint found something as grave as --fail-on says",
    Exit.DIFFERENT: "jwks diff: the two sets of keys differ",
    Exit.PORT: "the port is in use, or the address cannot be listened on",
    Exit.FOLDER: "the data folder cannot be written, or is open to others",
    Exit.DATABASE: "the database is damaged or cannot be reached",
    Exit.MASTER_KEY: "the master key is missing, damaged or another one",
    Exit.UNSAFE: "the service would be unsafe or contradicts itself; the message says how to mend it",
    Exit.REFUSED: "the service refused: wrong credentials, a session that is over, or, for admin, what it does not take",
    Exit.UNHEALTHY: "doctor found what fails; each finding says how to mend it",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
    Exit.CLOSED_PIPE: "whoever read the output stopped reading",
}

_CODES: Final[dict[type[BaseException], Exit]] = {
    errors.ConfigurationError: Exit.USAGE,
    errors.RefusedClaims: Exit.CLAIMS,
    errors.InvalidToken: Exit.CLAIMS,
    errors.MalformedToken: Exit.MALFORMED,
    errors.UnknownKey: Exit.NO_KEY,
    errors.BadSignature: Exit.SIGNATURE,
    errors.DecryptionFailed: Exit.SIGNATURE,
    errors.ExpiredToken: Exit.TIME,
    errors.ImmatureToken: Exit.TIME,
    errors.RevokedToken: Exit.REVOKED,
    errors.OAuthError: Exit.REFUSED,
    errors.Unavailable: Exit.NETWORK,
    errors.StorageUnavailable: Exit.DATABASE,
    errors.KeysUnavailable: Exit.NO_KEY,
    MissingMasterKey: Exit.MASTER_KEY,
    WrongMasterKey: Exit.MASTER_KEY,
}


class Stop(Exception):
    """Ends a command with one line on stderr (none where the message is empty) and an exit code."""

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = code


def exit_code(error: BaseException) -> Exit:
    """The exit code of an error: its own row, or its nearest ancestor's."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), Exit.UNEXPECTED)
