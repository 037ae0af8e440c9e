"""A service of its own that trusts an issuer by its URL.

ADMIT_ISSUER=https://auth.example uvicorn examples.orders_api:app

It shares nothing with the issuer but HTTP: keys and revocations are followed in the background. ADMIT_AUDIENCE says who
it is (`orders` unless set); ADMIT_INSECURE_HOSTS names hosts that may be spoken to in plain http, separated by commas.

It does not start while the issuer is away. Without its lifespan it would, and answer 503 until the issuer is there.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Security

from admit import Claims
from admit.remote.issuer import RemoteIssuer
from admit.web.fastapi import Bearer

issuer = RemoteIssuer(
    os.environ["ADMIT_ISSUER"],
    revocations="required",
    insecure_hosts=[host for host in os.environ.get("ADMIT_INSECURE_HOSTS", "").split(",") if host],
)
bearer = Bearer(issuer.verifier(audience=os.environ.get("ADMIT_AUDIENCE", "orders")))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with issuer:
        yield


app = FastAPI(title="Orders", lifespan=lifespan, responses=bearer.responses)


@app.get("/orders")
async def orders(who: Annotated[Claims[None], Security(bearer, scopes=["orders:read"])]) -> dict[str, object]:
    """The orders of whoever asks."""
    return {"sub": who.sub, "orders": [{"id": 1, "item": "a movie ticket"}]}
