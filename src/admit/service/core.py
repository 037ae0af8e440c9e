"""Core: what the service's functions work with, as one value."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from admit.errors import AdmitError, InvalidGrant
from admit.service.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from admit.clock import Clock
    from admit.keyring.wrapping import MasterKeys
    from admit.service.accounts import UserStore
    from admit.service.follower import Follower
    from admit.service.login_policy import LoginPolicy
    from admit.service.passwords import Passwords
    from admit.service.policy import Policy
    from admit.service.results import AuditEvent, Client
    from admit.service.storage import Storage, Tx
    from admit.service.throttle import Rules

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The parts of one token service."""

    storage: Storage
    follower: Follower
    master: MasterKeys
    issuer: str
    algorithms: tuple[str, ...]
    """What the service signs with, the default first."""
    by_audience: Mapping[str, str]
    """The algorithm for an audience that has one of its own."""
    policy: Policy
    logins: LoginPolicy
    rules: Rules
    clock: Clock
    first_party: Client
    users: UserStore
    own_users: bool
    """Whether the users are an application's own, so that a subject without a row here may well exist."""
    passwords: Passwords
    claims: Callable[[str], Mapping[str, object]] | None
    on_event: Sequence[Callable[[AuditEvent], None]]
    _turns: dict[int, Turns] = field(default_factory=dict)

    @property
    def turns(self) -> Turns:
        """Who may hash a password: by process, since a fork copies whatever its parent's threads held."""
        own = self._turns.get(os.getpid())
        if own is None:
            policy = self.logins
            new = Turns(policy.places, policy.password_queue, policy.password_wait.total_seconds())
            own = self._turns.setdefault(os.getpid(), new)
        return own

    def read(self, query: Callable[[Tx], T]) -> T:
        """What `query` answers. Raises StorageUnavailable."""
        return self.storage.read(query)

    def write(self, change: Callable[[Tx], T], *, taken: AdmitError | None = None, single: bool = False) -> T:
        """What `change` answers, once committed; then this process's view follows and the hook hears the events."""
        value, tx = self.storage.write(change, taken=taken, single=single)
        if tx.moved:
            with contextlib.suppress(AdmitError):  # it is committed; the view catches up by itself
                self.follower.look()
            self.storage.notify()
        if tx.destroyed:
            self.storage.forget()
        for event in tx.events:
            for hook in self.on_event:
                with contextlib.suppress(Exception):  # the change is committed: a hook must not make it look undone
                    hook(event)
        return value

    def sign(
        self,
        *,
        now: int,
        sub: str,
        client_id: str,
        audience: str,
        scope: str,
        ends_at: int | None = None,
        claims: Mapping[str, object] | None = None,
    ) -> tuple[str, int]:
        """An access token that ends no later than `ends_at` (milliseconds), and the seconds it lives.

        Raises InvalidGrant where the session has less than two seconds left: a token's times are whole seconds.
        """
        lifetime = int(self.policy.access_lifetime.total_seconds())
        expires_at = None
        if ends_at is not None:
            left = ends_at // 1000 - now // 1000
            if left < 2:
                raise InvalidGrant("the session is over")
            lifetime = min(lifetime, left)
            expires_at = int(self.clock()) + left  # told relatively: the database's clock may differ from this host's
        view = self.follower.view()
        alg = view.access.algorithm(self.by_audience.get(audience, self.algorithms[0]), self.algorithms[0])
        token = view.signers[alg].sign(
            sub=sub,
            client_id=client_id,
            audience=audience,
            scope=scope or None,
            claims=claims,
            expires_at=expires_at,
        )
        return token, lifetime
