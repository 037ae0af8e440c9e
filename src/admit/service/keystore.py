"""The keys in the database: made, stepped, cut off. What is due, admit.keyring.lifecycle says.

Whoever changes keys holds the feed's row, so that changes come one after the other in all processes together; each is a
compare-and-swap all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import exists, insert, select, update

from admit import clock
from admit.errors import InvalidRequest, KeysUnavailable
from admit.jose.keys import Key
from admit.keyring.lifecycle import (
    HOLDS_PRIVATE,
    TRANSITIONS,
    Action,
    KeyTimes,
    State,
    Step,
    Timing,
    next_ordinal,
    next_step,
    removal,
    rotation,
    wait_before_rotation,
)
from admit.service import audit, revocation, rewrap, token_secrets
from admit.service.policy import Policy
from admit.service.schema import feed, keys
from admit.service.session_policy import milliseconds

if TYPE_CHECKING:
    from admit.keyring.wrapping import MasterKeys
    from admit.service.storage import Tx

ACCESS: Final = "access"
FEED: Final = "feed"
FEED_ALG: Final = "ES256"
Maker = Callable[[str], Key]
"""What makes a key for an algorithm."""
_SETTLES: Final = 8  # steps that one emergency can need, and more
_SETTLING: Final = frozenset((Action.ADD, Action.ACTIVATE))
_SINCE: Final = {
    State.ACTIVE: "active_at",
    State.RETIRING: "retiring_at",
    State.RETIRED: "ended_at",
    State.REVOKED: "ended_at",
}
"""Which column says when a key came into a state."""


def uses(algorithms: Sequence[str]) -> dict[str, Sequence[str]]:
    """Each use of keys and its algorithms."""
    return {ACCESS: algorithms, FEED: (FEED_ALG,)}


def laid(tx: Tx) -> bool:
    """Whether this database has keys: only beside one that has none are keys made when a service opens."""
    return bool(tx.execute(select(exists().where(keys.c.state == State.ACTIVE))).scalar())


def lay(tx: Tx, master: MasterKeys, algorithms: Sequence[str], policy: Policy, make: Maker) -> None:
    """Put what is missing into the database: the feed's row, secrets; and where no key signs, an active key and a standby.

    A further algorithm in a database that has keys is left to the steps: it is published before it signs.
    """
    life = milliseconds(policy.access_lifetime)
    if tx.execute(select(feed.c.longest_life)).scalar() is None:
        values = {"id": 1, "epoch": clock.random_id(), "seq": 0, "keys_version": 0, "longest_life": life}
        tx.execute(insert(feed), [values])
    # An entry must outlive every token it could mean, those of an earlier setting too.
    tx.execute(update(feed).where(feed.c.longest_life < life).values(longest_life=life))
    token_secrets.lay(tx, master)
    for use, wanted in uses(algorithms).items():
        if not any(times.state is State.ACTIVE for each in all_times(tx, use).values() for times in each):
            for alg in wanted:
                settle(tx, master, use, alg, policy, make)


def step(tx: Tx, master: MasterKeys, algorithms: Sequence[str], policy: Policy, make: Maker) -> bool:
    """Take the one step that is due, if any; whether one was taken."""
    hold(tx)
    found = due(tx, algorithms, policy)
    return found is not None and take(tx, master, *found, make)


def due(tx: Tx, algorithms: Sequence[str], policy: Policy) -> tuple[str, str, Step] | None:
    """The one step that is due, with its use and algorithm."""
    waits = timing(tx, policy)
    for use, wanted in uses(algorithms).items():
        known = all_times(tx, use)
        signing = {alg for alg, times in known.items() if any(each.state is State.ACTIVE for each in times)}
        for alg in (*wanted, *(alg for alg in known if alg not in wanted)):
            covered = bool(signing - {alg}) if alg in wanted else signing.issuperset(wanted)
            found = next_step(known.get(alg, []), tx.now, waits, wanted=alg in wanted, covered=covered)
            if found is not None:
                return use, alg, found
    return None


def settle(tx: Tx, master: MasterKeys, use: str, alg: str, policy: Policy, make: Maker) -> None:
    """Take steps until there is an active key and a published standby, however young."""
    for _ in range(_SETTLES):
        found = next_step(all_times(tx, use).get(alg, []), tx.now, timing(tx, policy))
        if found is None or found.action not in _SETTLING or not take(tx, master, use, alg, found, make):
            return


def take(tx: Tx, master: MasterKeys, use: str, alg: str, step: Step, make: Maker) -> bool:
    """Take a step by compare-and-swap. False where another process took it first."""
    kid = step.kid or step.successor
    if step.action is Action.ADD:
        kid = add(tx, master, use, alg, make(alg), step.ordinal)
    else:
        for old, new in TRANSITIONS[step.action]:
            if not _move(tx, step.successor if new is State.ACTIVE else step.kid, old, new):
                return False
    changed(tx)
    audit.record(tx, f"key.{step.action}", detail=f"{use} {alg} {kid}")
    return True


def add(tx: Tx, master: MasterKeys, use: str, alg: str, key: Key, ordinal: int) -> str:
    """Insert a pending key; answers its kid."""
    private = rewrap.wrap(tx, master, f"{use} key", key.kid, msgspec.json.encode(key.to_jwk(private=True)))
    values = {
        "kid": key.kid,
        "use": use,
        "alg": alg,
        "ordinal": ordinal,
        "state": State.PENDING,
        "public": msgspec.json.encode(key.public().to_jwk()).decode(),
        "private": private,
        "created_at": tx.now,
    }
    tx.execute(insert(keys), [values])
    return key.kid


def rotate(tx: Tx, master: MasterKeys, alg: str, policy: Policy, make: Maker, *, force: bool) -> str:
    """Let the standby sign, now; answers its kid. Raises KeysUnavailable while it is too young, unless forced."""
    hold(tx)
    times = all_times(tx, ACCESS).get(alg, [])
    wait = wait_before_rotation(times, tx.now, timing(tx, policy))
    step = rotation(times, force=bool(wait))
    if step is None:
        raise KeysUnavailable(f"there is no {alg} key that signs, or no standby to rotate to")
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


def retire(tx: Tx, master: MasterKeys, alg: str, make: Maker) -> None:
    """Take an algorithm out of use now. Raises InvalidRequest where it is not in use, or nothing else signs."""
    hold(tx)
    known = all_times(tx, ACCESS)
    if removal(known.get(alg, [])) is None:
        raise InvalidRequest(f"no {alg} key is active or pending")
    if not any(each.state is State.ACTIVE for other in known.keys() - {alg} for each in known[other]):
        raise InvalidRequest(f"nothing but {alg} signs: the service would be left without a key")
    while (step := removal(all_times(tx, ACCESS)[alg])) is not None:
        take(tx, master, ACCESS, alg, step, make)


def revoke(tx: Tx, master: MasterKeys, kid: str, policy: Policy, make: Maker) -> None:
    """Cut a key off for good, in any state; its successor signs at once. Raises InvalidRequest for an unknown kid."""
    hold(tx)
    row = tx.execute(select(keys.c.use, keys.c.alg, keys.c.state).where(keys.c.kid == kid)).one_or_none()
    if row is None:
        raise InvalidRequest("there is no key of that kid")
    if row.state == State.REVOKED:
        return
    in_use = any(each.state is State.ACTIVE for each in all_times(tx, row.use)[row.alg])
    tx.execute(update(keys).where(keys.c.kid == kid).values(_into(State.REVOKED, tx.now)))
    if in_use:  # else it is a new algorithm's, whose next standby waits its time, or one that is given up
        settle(tx, master, row.use, row.alg, policy, make)
    changed(tx)
    audit.record(tx, "key.revoked", detail=f"{row.use} {row.alg} {kid}")
    revocation.cut_off(tx, revocation.CutOff("kid", kid))


def take_in(tx: Tx, master: MasterKeys, key: Key, algorithms: Sequence[str]) -> None:
    """Add a key made elsewhere as the standby that is next. Raises InvalidRequest."""
    hold(tx)
    alg = key.algorithm.name
    known = all_times(tx, ACCESS)
    in_use = {name for name, times in known.items() if removal(times)}
    if alg not in in_use.union(algorithms):
        raise InvalidRequest(
            f"the service signs with {', '.join(sorted(in_use.union(algorithms)))}: set it to {alg} as well, first"
        )
    for kid, public in tx.execute(select(keys.c.kid, keys.c.public)):
        if kid == key.kid:
            raise InvalidRequest("there is a key of that kid already")
        if Key.from_jwk(public).thumbprint() == key.thumbprint():
            raise InvalidRequest(f"this key is known already, as {kid}: what was in use is not taken in anew")
    add(tx, master, ACCESS, alg, key, next_ordinal(known.get(alg, [])))
    changed(tx)
    audit.record(tx, "key.import", detail=f"{ACCESS} {alg} {key.kid}")


def timing(tx: Tx, policy: Policy) -> Timing:
    """The waits of this service; a retiring key outlives the longest token it can have signed."""
    longest = tx.execute(select(feed.c.longest_life)).scalar_one()
    return Timing(
        lifetime=milliseconds(policy.key_lifetime),
        published=milliseconds(policy.key_published),
        # Skew twice: between who signs and who verifies, and between who let it stop and who lets it retire.
        retire_after=milliseconds(policy.key_reload + policy.leeway + 2 * policy.clock_skew) + longest,
    )


def all_times(tx: Tx, use: str) -> dict[str, list[KeyTimes]]:
    """What decides about each key of a use, by algorithm, in order."""
    columns = (keys.c.kid, keys.c.state, keys.c.ordinal, keys.c.created_at, keys.c.active_at, keys.c.retiring_at)
    found: defaultdict[str, list[KeyTimes]] = defaultdict(list)
    rows = tx.execute(select(keys.c.alg, *columns).where(keys.c.use == use).order_by(keys.c.alg, keys.c.ordinal))
    for alg, *values in rows:
        times = dict(zip((column.name for column in columns), values, strict=True))
        found[alg].append(KeyTimes(**{**times, "state": State(times["state"])}))
    return dict(found)


def hold(tx: Tx) -> None:
    """Let nobody else change keys or secrets until the commit, nor rewrap them."""
    rewrap.hold(tx)
    tx.execute(select(feed.c.id).with_for_update()).scalar()


def changed(tx: Tx) -> None:
    """Have every process read keys and secrets anew. What is no longer in force may be gone."""
    tx.moved = tx.destroyed = True
    tx.execute(update(feed).where(feed.c.id == 1).values(keys_version=feed.c.keys_version + 1))


def _move(tx: Tx, kid: str, old: State, new: State) -> bool:
    moved = update(keys).where(keys.c.kid == kid, keys.c.state == old).values(_into(new, tx.now))
    return tx.execute(moved.returning(keys.c.kid)).scalar() is not None


def _into(state: State, now: int) -> dict[str, object]:
    """What the row of a key says from then on. Its private half is destroyed where it does not sign any more."""
    values: dict[str, object] = {"state": state, _SINCE[state]: now}
    return values if state in HOLDS_PRIVATE else {**values, "private": None}
