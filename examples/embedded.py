"""Login, refresh, logout and a protected endpoint in one application: `uvicorn examples.embedded:app`.

curl -d 'username=alice&password=...' http://127.0.0.1:8000/login
"""

from typing import Annotated

from fastapi import FastAPI, Security

from admit import Claims, TokenService
from admit.web.auth_router import auth_router
from admit.web.fastapi import Bearer

auth = TokenService("sqlite:///auth.db", issuer="http://127.0.0.1:8000", audience="orders", scopes=["orders:read"])
app = FastAPI()
app.include_router(auth_router(auth))
bearer = Bearer(auth.verifier())


@app.get("/orders")
def orders(who: Annotated[Claims[None], Security(bearer, scopes=["orders:read"])]) -> list[str]:
    return [f"an order of {who.sub}"]
