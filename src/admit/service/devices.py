"""Devices: what a user's logins said they came from, so that the first one from a new device can be told."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from admit.jose.encoding import b64url_encode
from admit.service.schema import devices

if TYPE_CHECKING:
    from admit.service.storage import Tx


def seen(tx: Tx, sub: str, device: str) -> bool:
    """Note a login; whether its device is new to a user who has others. The caller holds the user's row."""
    number = b64url_encode(sha256(f"{sub}\0{device}".encode("utf-8", "surrogatepass")).digest()).decode()
    if tx.execute(update(devices).where(devices.c.id == number).values(seen_at=tx.now)).rowcount:
        return False
    others = tx.execute(select(devices.c.id).where(devices.c.user_id == sub).limit(1)).scalar()
    tx.execute(insert(devices), [{"id": number, "user_id": sub, "seen_at": tx.now}])
    return others is not None
