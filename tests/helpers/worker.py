"""One service process of a race: it reads a line of calls, makes them all at once, and prints what each was answered."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

from admit.errors import AdmitError
from admit.service.facade import TokenService
from admit.service.policy import Policy
from admit.service.results import TokenPair


def main(url: str, settings: str) -> None:
    windows: dict[str, Any] = {name: timedelta(seconds=value) for name, value in json.loads(settings).items()}
    policy = Policy(**windows)
    service = TokenService(
        url, issuer="https://auth.example", audience="orders", master_key=bytes(range(32)), policy=policy
    )
    door = service.verifier()
    calls: dict[str, Callable[..., object]] = {
        "refresh": service.refresh,
        "refresh twice": lambda token: service.refresh(service.refresh(token).refresh_token),
        "login": service.login,
        "logout": service.logout,
        "log out everywhere": service.logout_everywhere,
        "disable": service.users.disable,
        "enable": service.users.enable,
        "set password": service.users.set_password,
        "step": service.keys.step,
        "revoke key": service.keys.revoke,
        "look": service._core.follower.look,
        "verify": door.verify,
    }

    def one(call: list[str], start: Barrier) -> list[str]:
        start.wait()
        try:
            answer = calls[call[0]](*call[1:])
        except AdmitError as error:
            return ["error", type(error).__name__]
        if isinstance(answer, TokenPair):
            return ["pair", answer.refresh_token, answer.access_token, answer.session_id]
        return [f"answered {answer}"] if isinstance(answer, bool) else ["done"]

    print("ready", flush=True)
    with ThreadPoolExecutor(32) as pool:
        for line in sys.stdin:
            wanted = json.loads(line)
            start = Barrier(len(wanted))
            running = [pool.submit(one, call, start) for call in wanted]
            print(json.dumps([each.result() for each in running]), flush=True)
    service.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
