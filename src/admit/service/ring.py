"""Ring: the keys of one use as a process holds them: those that verify, and for each algorithm the one that signs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from admit.errors import KeysUnavailable
from admit.jose.keys import Key
from admit.jose.keyset import KeySet
from admit.keyring.lifecycle import PUBLISHED, State
from admit.service.schema import keys

if TYPE_CHECKING:
    from admit.keyring.wrapping import MasterKeys
    from admit.service.storage import Tx


class Ring(NamedTuple):
    """The keys of one use at one moment."""

    published: KeySet
    active: Mapping[str, Key]
    """By algorithm; the one that signs longest comes first."""

    @property
    def signing(self) -> Key:
        """The key that signs, where one algorithm is all there is."""
        return next(iter(self.active.values()))

    def algorithm(self, *preferred: str) -> str:
        """The first of these that a key signs with.

        Where none does yet, what signs already: a new algorithm's key is published for a while first, and until then
        verifiers get what they got before.
        """
        return next((alg for alg in preferred if alg in self.active), next(iter(self.active)))


def read(tx: Tx, master: MasterKeys, use: str) -> Ring:
    """The ring of a use. Raises KeysUnavailable, ConfigurationError."""
    query = select(keys).where(keys.c.use == use, keys.c.state.in_(PUBLISHED)).order_by(keys.c.alg, keys.c.ordinal)
    rows = tx.execute(query).mappings().all()
    signing = sorted((row for row in rows if row["state"] == State.ACTIVE), key=lambda row: row["active_at"] or 0)
    if not signing:
        raise KeysUnavailable(f"no {use} key is active")
    active = {row["alg"]: Key.from_jwk(master.unwrap(f"{use} key", row["kid"], row["private"])) for row in signing}
    return Ring(KeySet([Key.from_jwk(row["public"]) for row in rows]), active)
