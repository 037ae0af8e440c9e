"""Secrets at rest: AES-256-GCM under a versioned master key, bound to what they are (NIST SP 800-38D)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from admit import clock
from admit.errors import ConfigurationError, KeysUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_BYTES: Final = 32
_NONCE: Final = 12  # SP 800-38D 5.2.1.1
LARGEST_VERSION: Final = 0xFFFF


class MissingMasterKey(KeysUnavailable, ConfigurationError):
    """A secret lies under a version that was not given: a mistake where a service opens.

    Where one runs already, the secrets were moved meanwhile, and until it is restarted others can answer: HTTP 503.
    """

    def __init__(self, version: int) -> None:
        super().__init__(
            f"the database holds secrets under master key version {version}, which was not given: its file belongs beside the"
            " others, and goes only once rewrap answers 0; a process that ran before it came is to be restarted"
        )


class WrongMasterKey(KeysUnavailable, ConfigurationError):
    """A secret does not open: what was given under that version is another key, or the row was altered.

    As with MissingMasterKey, in a process that runs it is HTTP 503: others can answer.
    """


class MasterKeys:
    """The keys that wrap all others, by version; the highest version wraps. Its repr shows no key."""

    __slots__ = ("_ciphers", "newest")

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys:
            raise ConfigurationError("at least one master key is needed")
        for version, key in keys.items():
            if not isinstance(version, int) or not 0 < version <= LARGEST_VERSION:
                raise ConfigurationError(f"a master key's version is an integer from 1 to {LARGEST_VERSION}")
            if not isinstance(key, bytes) or len(key) != KEY_BYTES:
                raise ConfigurationError(
                    f"a master key has exactly {KEY_BYTES} bytes; make one with os.urandom({KEY_BYTES})"
                )
        for version, key in keys.items():
            twin = min(other for other, same in keys.items() if same == key)
            if twin < version:  # a backup that is called like the next version: what is the same cannot take its place
                raise ConfigurationError(f"version {version} of the master key is version {twin} once more")
        self._ciphers = {version: AESGCM(key) for version, key in keys.items()}
        self.newest = max(keys)

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version there is."""
        return tuple(sorted(self._ciphers))

    def wrap(self, kind: str, name: str, secret: bytes, *, version: int | None = None) -> bytes:
        """The secret, encrypted. `kind` and `name` say what it is, so that no row can stand in for another.

        version: of the master key; the newest by default. Raises MissingMasterKey for one that was not given.
        """
        chosen = self.newest if version is None else version
        nonce, head = clock.random_bytes(_NONCE), chosen.to_bytes(2)
        return head + nonce + self._cipher(chosen).encrypt(nonce, secret, _context(head, kind, name))

    def unwrap(self, kind: str, name: str, wrapped: bytes) -> bytes:
        """What `wrap` was given.

        Raises WrongMasterKey where the master key is not the one that wrapped it, and MissingMasterKey.
        """
        version = self.version_of(wrapped)
        cipher = self._cipher(version)
        nonce, sealed = wrapped[2 : 2 + _NONCE], wrapped[2 + _NONCE :]
        try:
            return cipher.decrypt(nonce, sealed, _context(wrapped[:2], kind, name))
        except (InvalidTag, ValueError):
            raise WrongMasterKey(
                f"a stored {kind} does not open: version {version} of the master key is not the one that wrapped it, or the row"
                " was altered"
            ) from None

    def version_of(self, wrapped: bytes) -> int:
        """Under which version a secret lies; below `newest`, it is due for rewrapping."""
        return int.from_bytes(wrapped[:2])

    def _cipher(self, version: int) -> AESGCM:
        cipher = self._ciphers.get(version)
        if cipher is None:
            raise MissingMasterKey(version)
        return cipher

    def __repr__(self) -> str:
        return f"<MasterKeys versions {sorted(self._ciphers)}>"


def _context(version: bytes, kind: str, name: str) -> bytes:
    # The lengths make the split unambiguous: ("ab", "c") is never ("a", "bc").
    parts = [kind.encode(), name.encode()]
    return b"admit wrap" + version + b"".join(len(part).to_bytes(4) + part for part in parts)
