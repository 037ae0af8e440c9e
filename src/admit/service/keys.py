"""The service's keys in the database: made, stepped, read. What is due, admit.keyring.lifecycle says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import RowMapping, exists, insert, select, update

from admit import clock
from admit.errors import InvalidRequest, KeysUnavailable
from admit.jose.keys import Key
from admit.jose.keyset import KeySet
from admit.keyring.lifecycle import (
    PUBLISHED,
    Action,
    KeyTimes,
    State,
    Step,
    Timing,
    next_step,
    rotation,
    wait_before_rotation,
)
from admit.service import audit, revocation
from admit.service.policy import Policy
from admit.service.results import SigningKey
from admit.service.schema import feed, keys, secrets
from admit.service.session_policy import milliseconds

if TYPE_CHECKING:
    from admit.keyring.wrapping import MasterKeys
    from admit.service.core import Core
    from admit.service.storage import Tx

ACCESS: Final = "access"
FEED: Final = "feed"
FEED_ALG: Final = "ES256"
MAC: Final = "refresh token MAC"
SEAL: Final = "refresh token seal"
_REWRAPPED: Final = 100  # rows in one transaction
_SETTLES: Final = 8  # steps that one emergency can need, and more
_SETTLING: Final = frozenset((Action.ADD, Action.ACTIVATE))


class Keys:
    """The signing keys of a service: `service.keys`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def list(self) -> list[SigningKey]:
        """Every key there ever was."""
        return self._core.read(listed)

    def rotate(self, *, force: bool = False) -> SigningKey:
        """Let the standby sign, now, and publish a new standby; answers the key that signs.

        Raises KeysUnavailable, with the seconds to wait, while the standby is too young for every verifier to hold it;
        in an emergency, `force` does without that.
        """
        core = self._core
        kid = core.write(lambda tx: rotate(tx, core.master, core.algorithm, core.policy, Key.generate, force=force))
        return next(key for key in self.list() if key.kid == kid)

    def revoke(self, kid: str) -> None:
        """Cut a key off for good: nothing it signed passes any more, and its successor signs. Raises InvalidRequest."""
        core = self._core
        core.write(lambda tx: revoke(tx, core.master, kid, core.policy, Key.generate))

    def rewrap(self) -> int:
        """Wrap every secret under the newest master key; answers how many rows lay under an older one.

        Give every process both versions first (`master_key={1: old, 2: new}`); once this answers 0, the old one can go.
        Nobody is logged out: only the wrapping changes. Cut short, it goes on where it stopped when called again.
        """
        core, count = self._core, 0
        while rows := core.write(lambda tx: rewrap(tx, core.master, _REWRAPPED)):
            count += rows
        return count

    def step(self) -> bool:
        """Take the one step of the lifecycle that is due, if any; whether one was taken."""
        core = self._core
        for use, alg in uses(core.algorithm):
            if core.read(lambda tx, use=use, alg=alg: due(tx, use, alg, core.policy)) is None:  # type: ignore[misc]
                continue

            def change(tx: Tx, use: str = use, alg: str = alg) -> bool:
                step = due(tx, use, alg, core.policy)
                return step is not None and take(tx, core.master, use, alg, step, Key.generate)

            if core.write(change):
                return True
        return False


class Ring(NamedTuple):
    """The keys of one use: all published ones, and the one that signs."""

    published: KeySet
    signing: Key


class Secrets(NamedTuple):
    """What refresh tokens are made with. The highest MAC key is for new tokens."""

    macs: dict[int, bytes]
    seal: bytes


Maker = Callable[[str], Key]


def lay(tx: Tx, master: MasterKeys, algorithm: str, policy: Policy, make: Maker) -> None:
    """Put what is missing into the database: the feed's row, secrets, an active key and a standby for each use."""
    life = milliseconds(policy.access_lifetime)
    if tx.execute(select(feed.c.longest_life)).scalar() is None:
        values = {"id": 1, "epoch": clock.random_id(), "seq": 0, "keys_version": 0, "longest_life": life}
        tx.execute(insert(feed), [values])
    # An entry must outlive every token it could mean, those of an earlier setting too.
    tx.execute(update(feed).where(feed.c.longest_life < life).values(longest_life=life))
    for kind in (MAC, SEAL):
        if not tx.execute(select(exists().where(secrets.c.kind == kind))).scalar():
            wrapped = master.wrap(kind, "1", clock.random_bytes(32))
            tx.execute(insert(secrets), [{"kind": kind, "id": 1, "wrapped": wrapped, "created_at": tx.now}])
    for use, alg in uses(algorithm):
        if not any(times.state is State.ACTIVE for times in _times(tx, use, alg)):
            settle(tx, master, use, alg, policy, make)


def uses(algorithm: str) -> tuple[tuple[str, str], ...]:
    """Each use of keys and its algorithm."""
    return ((ACCESS, algorithm), (FEED, FEED_ALG))


def settle(tx: Tx, master: MasterKeys, use: str, alg: str, policy: Policy, make: Maker) -> None:
    """Take steps until there is an active key and a published standby."""
    for _ in range(_SETTLES):
        step = next_step(_times(tx, use, alg), tx.now, timing(tx, policy))
        if step is None or step.action not in _SETTLING or not take(tx, master, use, alg, step, make):
            return


def due(tx: Tx, use: str, alg: str, policy: Policy) -> Step | None:
    """The one step that is due."""
    return next_step(_times(tx, use, alg), tx.now, timing(tx, policy))


def take(tx: Tx, master: MasterKeys, use: str, alg: str, step: Step, make: Maker) -> bool:
    """Take a step by compare-and-swap. False where another process took it first."""
    if step.action is Action.ADD:
        key = make(alg)
        private = master.wrap(f"{use} key", key.kid, msgspec.json.encode(key.to_jwk(private=True)))
        values = {
            "kid": key.kid,
            "use": use,
            "alg": alg,
            "ordinal": step.ordinal,
            "state": State.PENDING,
            "public": msgspec.json.encode(key.public().to_jwk()).decode(),
            "private": private,
            "created_at": tx.now,
        }
        tx.execute(insert(keys), [values])
        kid = key.kid
    else:
        kid = step.kid or step.successor
        if step.action is Action.ROTATE and not _move(
            tx, step.kid, State.ACTIVE, State.RETIRING, retiring_at=tx.now, private=None
        ):
            return False
        if step.successor and not _move(tx, step.successor, State.PENDING, State.ACTIVE, active_at=tx.now):
            return False
        if step.action is Action.RETIRE and not _move(tx, kid, State.RETIRING, State.RETIRED, ended_at=tx.now):
            return False
    _changed(tx)
    audit.record(tx, f"key.{step.action}", detail=f"{use} {alg} {kid}")
    return True


def rotate(tx: Tx, master: MasterKeys, alg: str, policy: Policy, make: Maker, *, force: bool) -> str:
    """Let the standby sign, now; answers its kid. Raises KeysUnavailable while it is too young, unless forced."""
    times = _times(tx, ACCESS, alg)
    step = rotation(times)
    if step is None:
        raise KeysUnavailable("there is no standby to rotate to; the next step adds one")
    wait = wait_before_rotation(times, tx.now, timing(tx, policy))
    if wait and not force:
        seconds = -(-wait // 1000)
        raise KeysUnavailable(
            f"the standby must be published for {seconds} s more, or verifiers with an older JWKS would refuse its"
            " tokens; force it only in an emergency",
            retry_after=seconds,
        )
    if not take(tx, master, ACCESS, alg, step, make):
        raise KeysUnavailable("another process rotated at the same time")
    settle(tx, master, ACCESS, alg, policy, make)
    return step.successor


def revoke(tx: Tx, master: MasterKeys, kid: str, policy: Policy, make: Maker) -> None:
    """Cut a key off for good, in any state; its successor signs at once. Raises InvalidRequest for an unknown kid."""
    row = tx.execute(select(keys.c.use, keys.c.alg, keys.c.state).where(keys.c.kid == kid)).one_or_none()
    if row is None:
        raise InvalidRequest("there is no key of that kid")
    if row.state == State.REVOKED:
        return
    tx.execute(update(keys).where(keys.c.kid == kid).values(state=State.REVOKED, private=None, ended_at=tx.now))
    settle(tx, master, row.use, row.alg, policy, make)
    _changed(tx)
    audit.record(tx, "key.revoked", detail=f"{row.use} {row.alg} {kid}")
    revocation.cut_off(tx, revocation.CutOff("kid", kid))


def timing(tx: Tx, policy: Policy) -> Timing:
    """The waits of this service; a retiring key outlives the longest token it can have signed."""
    longest = tx.execute(select(feed.c.longest_life)).scalar_one()
    return Timing(
        lifetime=milliseconds(policy.key_lifetime),
        published=milliseconds(policy.key_published),
        retire_after=milliseconds(policy.key_reload + policy.leeway) + longest,
    )


def ring(tx: Tx, master: MasterKeys, use: str, alg: str) -> Ring:
    """The published keys of one use, and the one that signs. Raises KeysUnavailable, ConfigurationError."""
    rows = tx.execute(select(keys).where(keys.c.use == use, keys.c.state.in_(PUBLISHED)).order_by(keys.c.ordinal))
    published: list[Key] = []
    signing: Key | None = None
    for row in rows.mappings():
        published.append(Key.from_jwk(row["public"]))
        if row["state"] == State.ACTIVE and row["alg"] == alg:
            signing = Key.from_jwk(master.unwrap(f"{use} key", row["kid"], row["private"]))
    if signing is None:
        raise KeysUnavailable(f"no {alg} key is active")
    return Ring(KeySet(published), signing)


def token_secrets(tx: Tx, master: MasterKeys) -> Secrets:
    """The MAC keys and the sealing secret of refresh tokens."""
    rows = tx.execute(select(secrets.c.kind, secrets.c.id, secrets.c.wrapped)).all()
    opened = {(row.kind, row.id): master.unwrap(row.kind, str(row.id), row.wrapped) for row in rows}
    return Secrets({number: secret for (kind, number), secret in opened.items() if kind == MAC}, opened[SEAL, 1])


def rewrap(tx: Tx, master: MasterKeys, limit: int) -> int:
    """Wrap up to `limit` rows anew that lie under an older master key than the newest; answers how many.

    The rows stay locked until the commit, so that a key which stops signing meanwhile does not get its private half back.
    """
    done = 0
    private = select(keys.c.kid, keys.c.use, keys.c.private).where(keys.c.private.is_not(None)).with_for_update()
    for row in tx.execute(private).all():
        if done < limit and master.version_of(row.private) < master.newest:
            kind = f"{row.use} key"
            renewed = master.wrap(kind, row.kid, master.unwrap(kind, row.kid, row.private))
            tx.execute(update(keys).where(keys.c.kid == row.kid).values(private=renewed))
            done += 1
    for secret in tx.execute(select(secrets.c.kind, secrets.c.id, secrets.c.wrapped).with_for_update()).all():
        if done < limit and master.version_of(secret.wrapped) < master.newest:
            renewed = master.wrap(
                secret.kind, str(secret.id), master.unwrap(secret.kind, str(secret.id), secret.wrapped)
            )
            tx.execute(
                update(secrets).where(secrets.c.kind == secret.kind, secrets.c.id == secret.id).values(wrapped=renewed)
            )
            done += 1
    if done:
        audit.record(tx, "keys.rewrapped", detail=f"{done} under master key version {master.newest}")
    return done


def wrapped_rows(tx: Tx) -> bool:
    """Whether the database holds anything under a master key."""
    return bool(tx.execute(select(exists().where(secrets.c.id > 0))).scalar())


def listed(tx: Tx) -> list[SigningKey]:
    """Every key there ever was, oldest first."""
    rows = tx.execute(select(keys).order_by(keys.c.use, keys.c.alg, keys.c.ordinal)).mappings()
    return [_shown(row) for row in rows]


def _shown(row: RowMapping) -> SigningKey:
    values = {name: row[name] for name in ("kid", "alg", "use", "state", "ordinal")}
    for name in ("created_at", "active_at", "retiring_at", "ended_at"):
        values[name] = None if row[name] is None else row[name] / 1000
    return SigningKey(**values)


def _times(tx: Tx, use: str, alg: str) -> list[KeyTimes]:
    columns = (keys.c.kid, keys.c.state, keys.c.ordinal, keys.c.created_at, keys.c.active_at, keys.c.retiring_at)
    rows = tx.execute(select(*columns).where(keys.c.use == use, keys.c.alg == alg).order_by(keys.c.ordinal)).mappings()
    return [KeyTimes(**{**row, "state": State(row["state"])}) for row in rows]


def _move(tx: Tx, kid: str, old: State, new: State, **values: int | None) -> bool:
    moved = update(keys).where(keys.c.kid == kid, keys.c.state == old).values(state=new, **values).returning(keys.c.kid)
    return tx.execute(moved).scalar() is not None


def _changed(tx: Tx) -> None:
    tx.moved = True
    tx.execute(update(feed).where(feed.c.id == 1).values(keys_version=feed.c.keys_version + 1))
