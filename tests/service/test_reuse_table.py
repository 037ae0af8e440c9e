"""The table of docs/sessions.md, row by row: one refresh token in two hands."""

from __future__ import annotations

from pathlib import Path

import pytest

from admit.errors import ExpiredToken, InvalidGrant, RevokedToken
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.session_policy import milliseconds
from tests.service.conftest import PASSWORD, MovableClock

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sessions.md"
GRACE, RETRY = milliseconds(Policy().grace), milliseconds(Policy().retry_window)
HEAD = "| first | then the other | gets | the session | the audit trail says |"
TABLE = PAGE.read_text(encoding="utf-8").partition(HEAD)[2].partition("\n\n")[0].splitlines()[2:]
MOMENTS = {
    "within the grace": (0, GRACE - 1, False),
    "within the retry window, successor not used": (GRACE, RETRY - 1, False),
    "within the retry window, successor used": (GRACE, RETRY - 1, True),
    "after the retry window": (RETRY, 10 * RETRY, False),
}
"""When the other comes, in milliseconds after the rotation; and whether the successor was presented before."""


def test_the_page_has_a_row_for_each_moment_and_each_who_comes_first() -> None:
    assert [row.split(" | ")[:2] for row in TABLE] == [
        [f"| {who}", moment] for moment in MOMENTS for who in ("owner", "thief")
    ]


@pytest.mark.parametrize("row", TABLE)
@pytest.mark.parametrize("edge", [0, 1])
def test_the_page_says_what_happens(
    service: TokenService, alice: str, clock: MovableClock, row: str, edge: int
) -> None:
    _, moment, gets, ends, audited = (cell.strip() for cell in row.strip("|").split("|"))
    offsets, used = MOMENTS[moment][:2], MOMENTS[moment][2]
    stolen = service.login("alice", PASSWORD)
    bystander = service.login("alice", PASSWORD)
    before = service.audit(sub=alice)[-1].id

    first = service.refresh(stolen.refresh_token)
    if used:
        service.refresh(first.refresh_token)
    clock.forward(offsets[edge])
    if gets == "the same successor":
        assert service.refresh(stolen.refresh_token).refresh_token == first.refresh_token
    else:
        with pytest.raises(InvalidGrant) as refused:
            service.refresh(stolen.refresh_token)
        assert refused.value.code == gets

    verifier = service.verifier()
    if ends == "lives":
        assert service.refresh(first.refresh_token).session_id == stolen.session_id
    else:
        assert ends == "over for both"
        with pytest.raises(InvalidGrant):
            service.refresh(first.refresh_token)
        with pytest.raises((RevokedToken, ExpiredToken)):
            verifier.verify(first.access_token)
    events = [event.event for event in service.audit(after=before, sub=alice)]
    assert events == ([] if audited == "nothing" else [audited])
    assert bystander.session_id in [session.id for session in service.sessions(alice)]
