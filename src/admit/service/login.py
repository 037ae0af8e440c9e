"""Login and client credentials: first who asks, then what is asked for, and only then is anything written."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from admit import clock
from admit.errors import AdmitError, InvalidGrant
from admit.service import (
    accounts,
    audit,
    clients,
    devices,
    refresh_token,
    second_factor,
    sessions,
    status_lists,
    throttle,
    totp,
)
from admit.service.results import AccessToken, TokenPair
from admit.service.session_policy import milliseconds

if TYPE_CHECKING:
    from admit.service.assertions import ClientAssertion
    from admit.service.core import Core
    from admit.service.results import Client
    from admit.service.storage import Tx
    from admit.service.turns import Line

_NAME: Final = 255  # characters of what cannot be a name
_NOTE: Final = 200  # characters of a device's or an address's description


def login(
    core: Core,
    name: str,
    password: str,
    *,
    client_id: str,
    client_secret: str | ClientAssertion | None,
    audience: str | None,
    scope: str | None,
    device: str,
    address: str,
    otp: str | None,
) -> TokenPair:
    """A new session for a user who knows the password, and has the second factor where there is one."""
    proof = clients.proven(core, client_id, client_secret)
    client = clients.authenticated(_client(core, client_id), proof)
    clients.must_have(client, clients.PASSWORD)
    granted = clients.granted_scope(client.scopes, scope)
    meant_for = clients.granted_audience(client, audience)

    spelled = _spelled(name)
    attempt = throttle.admitted(core, _account(spelled), note(address))
    # The epoch is read before the password is looked at, and compared under lock in the inserting transaction: whatever
    # cuts the user off in between wins.
    found = core.users.find(name)
    if found is not None and core.own_users:
        accounts.check_own_id(found)
    # For nobody, too: each question to the database takes a time that can be measured.
    epoch, disabled = core.read(lambda tx: accounts.standing(tx, found or ""))
    sub = None if disabled else found
    with core.turns.turn(attempt.line):
        attempt = throttle.count(core, attempt, found)
        right = _right(core, spelled, found, disabled, password)
    if not right or sub is None:
        # For nobody, too: the time of a commit would tell who exists.
        core.write(lambda tx: audit.record(tx, "login.failed", sub=found, client_id=client.id, address=note(address)))
        raise InvalidGrant("no such user, a wrong password, or a disabled user")

    now, second = core.read(lambda tx: (tx.now, totp.required(tx, sub)))
    methods = ("pwd", "otp") if second else ("pwd",)
    policy = client.policy
    ends = now + milliseconds(policy.absolute)
    idle_until = min(ends, now + milliseconds(policy.idle))
    session_id = clock.random_id()
    place = status_lists.drawn(core)
    claims = user_claims(core, sub) | {
        "sid": session_id,
        "epoch": epoch,
        "auth_time": now // 1000,
        "amr": list(methods),
    }
    claims |= status_lists.claims(core, place)
    token, lifetime = core.sign(
        now=now, sub=sub, client_id=client.id, audience=meant_for, scope=granted, ends_at=idle_until, claims=claims
    )
    secrets = core.follower.view().secrets
    first = refresh_token.issue(session_id, 0, *secrets.mac)
    row = {
        "id": session_id,
        "user_id": sub,
        "client_id": client.id,
        "audience": meant_for,
        "scope": granted,
        "epoch": epoch,
        "generation": 0,
        "hash": first.hash,
        "seen": False,
        "rotated_at": 0,
        "used_at": now,
        "idle_until": idle_until,
        "expires_at": ends,
        "created_at": now,
        "auth_time": now,
        "auth_method": " ".join(methods),
        "device": note(device),
        "address": note(address),
        "status_idx": place,
    }

    who = {"sub": sub, "client_id": client.id, "address": note(address)}
    told = who | {"session_id": session_id}

    def change(tx: Tx) -> AdmitError | None:
        held = accounts.lock(tx, sub)
        if held is None and core.own_users:
            accounts.add_row(tx, sub, epoch)
        elif held != epoch or totp.required(tx, sub) != second:  # disabling raises the epoch, too
            throttle.given_back(tx, attempt)
            return InvalidGrant("the user was cut off, or changed, while logging in")
        if second and (refused := second_factor.refusal(tx, core, attempt, sub, otp, attempt.place, who)) is not None:
            return refused
        throttle.succeeded(tx, attempt, core.policy.kept)
        sessions.add(tx, row)
        audit.record(tx, "login", **told)
        if devices.seen(tx, sub, note(device)):
            audit.record(tx, "login.new_device", detail=note(device), **told)
        sessions.end_beyond(tx, sub, core.policy.sessions_per_user, session_id)
        return None

    refused = core.write(change)
    if refused is not None:
        raise refused
    return TokenPair(
        access_token=token,
        expires_in=lifetime,
        scope=granted,
        refresh_token=first.text,
        session_id=session_id,
        sub=sub,
    )


def line(core: Core, name: str, address: str) -> Line:
    """Where such a login waits for its turn."""
    return throttle.line(core, _account(_spelled(name)), note(address))


def client_credentials(
    core: Core, client_id: str, client_secret: str | ClientAssertion, *, scope: str | None, audience: str | None
) -> AccessToken:
    """An access token for a client itself (RFC 6749 4.4, RFC 9068 2.2: the sub is the client's id)."""
    proof = clients.proven(core, client_id, client_secret)
    client, now = core.read(lambda tx: (clients.find(tx, client_id, core.first_party), tx.now))
    client = clients.authenticated(client, proof)
    clients.must_have(client, clients.CREDENTIALS)
    granted = clients.granted_scope(client.scopes, scope)
    meant_for = clients.granted_audience(client, audience)
    token, lifetime = core.sign(now=now, sub=client.id, client_id=client.id, audience=meant_for, scope=granted)
    return AccessToken(access_token=token, expires_in=lifetime, scope=granted)


def user_claims(core: Core, sub: str) -> dict[str, object]:
    """The application's further claims for a user."""
    return {} if core.claims is None else dict(core.claims(sub))


def note(text: str) -> str:
    """A description as it is stored: short, and nothing that a terminal or a database would choke on."""
    return "".join(character for character in text[:_NOTE] if character.isprintable())


def _spelled(name: str) -> str:
    return accounts.normalized(name) or _folded(name)


def _account(spelled: str) -> str:
    return f"name {spelled}"


def _right(core: Core, name: str, found: str | None, disabled: bool, password: str) -> bool:
    if isinstance(core.users, accounts.BuiltInUsers):
        decoy = throttle.digest(core, "decoy", name)
        return core.users.judge(found, password, decoy=decoy, renew=not disabled)
    return core.users.check(None if disabled else found, password)


def _folded(name: str) -> str:
    """What cannot be a name here may be one in an application's own table, which finds its user in many spellings.

    Spaces around it and letter case are the usual ones: each with counts of its own would multiply the guesses.
    """
    return " ".join(unicodedata.normalize("NFKC", name.strip()[:_NAME]).casefold().split())


def _client(core: Core, client_id: str) -> Client | None:
    if client_id == core.first_party.id:
        return core.first_party
    return core.read(lambda tx: clients.find(tx, client_id, core.first_party))
