"""After a database was restored from a backup: nobody may go on from what they knew of the time that is lost."""

from __future__ import annotations

from sqlalchemy import case, update

from admit import clock
from admit.service import audit
from admit.service.schema import feed
from admit.service.storage import Tx


def renew(tx: Tx) -> str:
    """Draw a new feed epoch, and let every process read all anew; answers the epoch.

    A follower of the old epoch gets the whole list at its next question, instead of what comes after a number that this
    database never gave out. The numbers go on above the time in milliseconds, as they do in normal work.
    """
    epoch = clock.random_id()
    tx.execute(
        update(feed)
        .where(feed.c.id == 1)
        .values(
            epoch=epoch,
            seq=case((feed.c.seq < tx.now, tx.now), else_=feed.c.seq),
            keys_version=feed.c.keys_version + 1,
        )
    )
    tx.moved = True
    audit.record(tx, "database.restored")
    return epoch
