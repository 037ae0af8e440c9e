"""The compare-and-swap: whatever changed since the session was classified, the swap is lost and nothing is written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import update

from admit.service import accounts, refresh_token, sessions
from admit.service.facade import TokenService
from admit.service.schema import sessions as table
from admit.service.schema import users
from admit.service.storage import Tx
from tests.service.conftest import PASSWORD, MovableClock

GRACE, SKEW = 10_000, 2_000
WINDOWS = sessions.Windows(GRACE, 600_000, SKEW)


def _set(**values: object) -> Callable[[Tx], object]:
    return lambda tx: tx.execute(update(table).values(values))


MEANWHILE: dict[str, Callable[[Tx], object]] = {
    "somebody rotated": _set(hash=b"another"),
    "the session ended": _set(ended_at=1),
    "it went idle": lambda tx: tx.execute(update(table).values(idle_until=tx.now)),
    "it expired": lambda tx: tx.execute(update(table).values(expires_at=tx.now)),
    "it is another client's": _set(client_id="client.other"),
    "it rotated just now": lambda tx: tx.execute(update(table).values(rotated_at=tx.now - GRACE + 1)),
    "it rotated just now, elsewhere": lambda tx: tx.execute(update(table).values(rotated_at=tx.now + SKEW)),
    "the user logged out everywhere": lambda tx: accounts.raise_epoch(tx, _sub(tx), False, "test"),
    "the user was disabled": lambda tx: tx.execute(update(users).values(disabled_at=1)),
}


def _sub(tx: Tx) -> str:
    return str(tx.execute(users.select()).mappings().one()["id"])


@pytest.mark.parametrize("meanwhile", [None, *MEANWHILE])
def test_a_swap_is_lost_to_whatever_came_before_it(
    service: TokenService, alice: str, clock: MovableClock, meanwhile: str | None
) -> None:
    pair = service.login("alice", PASSWORD)
    clock.forward(GRACE)
    secrets = service._core.follower.view().secrets
    old = refresh_token.parse(pair.refresh_token, secrets.macs)
    new = refresh_token.issue(old.session_id, 1, 1, secrets.macs[1])
    now = int(clock() * 1000)

    def change(tx: Tx) -> bool:
        return sessions.swap(
            tx, old, new, client_id="client.first-party", sealed=b"", now=now, windows=WINDOWS, idle_until=now + 1
        )

    if meanwhile is not None:
        service._core.write(MEANWHILE[meanwhile])
    assert service._core.write(change) is (meanwhile is None)
    row = service._core.read(lambda tx: sessions.find(tx, old.session_id))
    assert row is not None
    assert row.generation == (1 if meanwhile is None else 0)


def test_a_session_row_from_a_client_that_lost_the_race_is_classified_again(
    service: TokenService, alice: str, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = service.login("alice", PASSWORD)
    clock.forward(GRACE)
    swap = sessions.swap
    won: list[str] = []

    def late(tx: Tx, *args: refresh_token.RefreshToken, **rest: object) -> bool:
        if not won:
            won.append("")
            return False  # as if somebody else had been first
        return swap(tx, *args, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sessions, "swap", late)
    assert service.refresh(pair.refresh_token).refresh_token != pair.refresh_token
    assert won == [""]
