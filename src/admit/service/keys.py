"""Keys: what an operator does with a service's keys, and how they are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import RowMapping, select

from admit.errors import InvalidRequest
from admit.jose.keys import Key
from admit.keyring.lifecycle import State, Timing, retirement_due, rotation_due
from admit.service import keystore, rewrap, token_secrets
from admit.service.results import SigningKey
from admit.service.schema import keys

if TYPE_CHECKING:
    from admit.keyring.lifecycle import KeyTimes
    from admit.service.core import Core
    from admit.service.storage import Tx

_REWRAPPED: Final = 100  # rows in one transaction


class Keys:
    """The signing keys of a service: `service.keys`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def list(self) -> list[SigningKey]:
        """Every key there ever was, and what becomes of it when."""
        core = self._core
        return core.read(lambda tx: listed(tx, keystore.timing(tx, core.policy)))

    def rotate(self, alg: str | None = None, *, force: bool = False) -> SigningKey:
        """Let the standby sign, now, and publish a new standby; answers the key that signs.

        alg: which algorithm's; without it, what is signed with by default. Raises KeysUnavailable, with the seconds to wait,
        while the standby is too young for every verifier to hold it; in an emergency, `force` does without that.
        """
        core = self._core
        name = alg or core.follower.view().access.algorithm(core.algorithms[0])
        kid = core.write(lambda tx: keystore.rotate(tx, core.master, name, core.policy, Key.generate, force=force))
        return self._of(kid)

    def add(self, key: Key) -> SigningKey:
        """Take in a private key made elsewhere: a pending one, the next to sign once verifiers hold it.

        Raises InvalidRequest for a key that is known already or of an algorithm that the service does not sign with,
        InvalidKey for one that cannot sign.
        """
        core = self._core
        if not isinstance(key, Key) or key.algorithm.symmetric or key.algorithm.use != "sig" or not key.private:
            raise InvalidRequest("a service takes in the private key of a pair that signs")
        if key.alg != key.algorithm.name:  # the old name of an algorithm: headers say the new one (RFC 9864)
            key = Key.from_jwk(key.to_jwk(private=True) | {"alg": key.algorithm.name})
        key.public().check(b"", key.sign(b""))  # or verifiers would find out
        core.write(lambda tx: keystore.take_in(tx, core.master, key, core.algorithms))
        return self._of(key.kid)

    def retire(self, alg: str) -> None:
        """Take an algorithm out of use now, once no process is set to sign with it; its tokens stay valid.

        Without this its keys go by themselves, when the next rotation is overdue. Raises InvalidRequest where the service
        is set to sign with it, or nothing else signs.
        """
        core = self._core
        if alg in core.algorithms:
            raise InvalidRequest(
                f"the service is set to sign with {alg}, by the settings given here: change that first"
            )
        core.write(lambda tx: keystore.retire(tx, core.master, alg, Key.generate))

    def revoke(self, kid: str) -> None:
        """Cut a key off for good: nothing it signed passes any more, and its successor signs. Raises InvalidRequest."""
        core = self._core
        core.write(lambda tx: keystore.revoke(tx, core.master, kid, core.policy, Key.generate))

    def rotate_mac(self) -> None:
        """Give refresh tokens a new MAC key, and their successors a new seal.

        The old ones are accepted until no live session can hold a token of theirs: nobody is logged out.
        """
        core = self._core

        def change(tx: Tx) -> None:
            keystore.hold(tx)
            token_secrets.rotate(tx, core.master)
            keystore.changed(tx)

        core.write(change)

    def rewrap(self) -> int:
        """Wrap every secret under the newest master key; answers how many rows lay under an older one.

        Give every process both versions first (`master_key={1: old, 2: new}`); once this answers 0, the old one can go.
        Nobody is logged out: only the wrapping changes. Cut short, it goes on where it stopped when called again.
        """
        core, count = self._core, 0
        try:
            while rows := core.write(lambda tx: rewrap.rewrap(tx, core.master, _REWRAPPED)):
                count += rows
        finally:
            core.storage.forget()
        return count

    @property
    def master_version(self) -> int:
        """The newest version of the master key that this process was given."""
        return self._core.master.newest

    def step(self) -> bool:
        """Take the one step of the lifecycle that is due, if any; whether one was taken."""
        core = self._core
        if core.read(lambda tx: keystore.due(tx, core.algorithms, core.policy)) is not None:
            return core.write(lambda tx: keystore.step(tx, core.master, core.algorithms, core.policy, Key.generate))

        def expire(tx: Tx) -> bool:
            keystore.hold(tx)
            gone = token_secrets.expire(tx, core.policy)
            if gone:
                keystore.changed(tx)
            return gone

        return core.read(lambda tx: token_secrets.expirable(tx, core.policy)) is not None and core.write(expire)

    def _of(self, kid: str) -> SigningKey:
        return next(key for key in self.list() if key.kid == kid)


def listed(tx: Tx, waits: Timing) -> list[SigningKey]:
    """Every key there ever was, by use and algorithm, oldest first."""
    rows = tx.execute(select(keys).order_by(keys.c.use, keys.c.alg, keys.c.ordinal)).mappings().all()
    ahead: dict[str, tuple[State, int]] = {}
    for use in {row["use"] for row in rows}:
        for times in keystore.all_times(tx, use).values():
            ahead |= outlook(times, waits)
    return [_shown(row, ahead.get(row["kid"])) for row in rows]


def outlook(times: list[KeyTimes], waits: Timing) -> dict[str, tuple[State, int]]:
    """What is next for each key of one algorithm, and when."""
    due = rotation_due(times, waits)
    signing = any(key.state is State.ACTIVE for key in times)
    next_up = max((key for key in times if key.state is State.PENDING), key=lambda key: key.ordinal, default=None)
    ahead: dict[str, tuple[State, int]] = {}
    for key in times:
        if key.state is State.ACTIVE and due is not None:
            ahead[key.kid] = State.RETIRING, due
        elif key is next_up and (due is not None or not signing):
            ahead[key.kid] = State.ACTIVE, due if due is not None else key.created_at + waits.published
        elif key.state is State.RETIRING:
            ahead[key.kid] = State.RETIRED, retirement_due(key, waits)
    return ahead


def _shown(row: RowMapping, ahead: tuple[State, int] | None) -> SigningKey:
    values = {name: row[name] for name in ("kid", "alg", "use", "state", "ordinal")}
    for name in ("created_at", "active_at", "retiring_at", "ended_at"):
        values[name] = None if row[name] is None else row[name] / 1000
    state, at = ahead or (None, None)
    return SigningKey(**values, next_state=state, next_at=None if at is None else at / 1000)
