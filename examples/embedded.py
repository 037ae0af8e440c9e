"""Login, refresh, logout and a protected endpoint in one application.

In this folder, with `pip install 'admit[server,fastapi]'`, a first user, and the server:

    python -c 'from embedded import auth; auth.users.add("alice", "correct horse battery staple")'
    uvicorn embedded:app

Log in, ask with the answer's access_token, refresh and log out with its refresh_token:

    curl -d username=alice --data-urlencode 'password=correct horse battery staple' http://127.0.0.1:8000/login
    curl -H 'Authorization: Bearer ...' http://127.0.0.1:8000/orders
    curl -d grant_type=refresh_token -d refresh_token=... http://127.0.0.1:8000/token
    curl -d refresh_token=... http://127.0.0.1:8000/logout

auth.db.key, made beside auth.db, is the master key: the one is of no use without the other.
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
