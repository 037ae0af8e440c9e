"""`jwt bench`: how many tokens a second this machine signs and verifies."""

from __future__ import annotations

import contextlib
import sys
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from admit import clock
from admit.cli.exits import Exit
from admit.cli.output import for_people, json_option, note, print_json
from admit.jose.algorithms import ALGORITHMS
from admit.jose.keys import Key
from admit.jose.keyset import KeySet
from admit.tokens.kinds import PLAIN
from admit.tokens.signer import Signer
from admit.tokens.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_USUAL: Final = ("HS256", "RS256", "ES256", "Ed25519")
_AT_ONCE: Final = 10  # calls between two looks at the clock


@click.command()
@click.option(
    "--alg",
    "algs",
    multiple=True,
    type=click.Choice(list(ALGORITHMS)),
    metavar="ALG",
    help=f"Of this algorithm; may be repeated.  [default: {', '.join(_USUAL)}]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 60),
    default=0.5,
    show_default=True,
    help="How long each of the measurements takes.",
)
@json_option
def bench(algs: tuple[str, ...], seconds: float, as_json: bool) -> int:
    """Measure how many tokens a second one core of this machine signs and verifies, signature and claims.

    Ctrl-C ends it with 130, and what was measured until then is written.
    """
    rows: list[dict[str, Any]] = []
    code = Exit.OK
    try:
        with _progress(algs or _USUAL) as waiting:
            for alg in waiting:
                signer, verify = _prepared(alg)
                token = signer()
                measured = _rate(signer, seconds), _rate(partial(verify, token), seconds)
                rows.append({"alg": alg, "sign": measured[0], "verify": measured[1]})
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    if for_people(as_json):
        click.echo(f"{'':<12}{'signs a second':>16}{'verifies a second':>20}")
        for row in rows:
            click.echo(f"{row['alg']:<12}{row['sign']:>16,}{row['verify']:>20,}")
    else:
        print_json(rows)
    if code:
        note(f"Interrupted: {len(rows)} of {len(algs or _USUAL)} algorithms were measured.")
    return code


def _prepared(alg: str) -> tuple[Callable[[], str], Callable[[str], object]]:
    key = Key.generate(alg)
    signer = Signer(key, issuer="https://auth.example", audience="orders", kind=PLAIN, lifetime=timedelta(hours=1))
    keys = KeySet([key if key.algorithm.symmetric else key.public()])
    verifier = Verifier(keys, issuer="https://auth.example", audience="orders", kind=PLAIN)
    return lambda: signer.sign(sub="alice"), verifier.verify


def _rate(call: Callable[[], object], seconds: float) -> int:
    """Calls a second, over at least that many seconds."""
    call()
    began, calls = clock.monotonic(), 0
    while (spent := clock.monotonic() - began) < seconds:
        for _ in range(_AT_ONCE):
            call()
        calls += _AT_ONCE
    return round(calls / spent)


@contextlib.contextmanager
def _progress(algs: Iterable[str]) -> Iterator[Iterable[str]]:
    if not sys.stderr.isatty():
        yield algs
        return
    with click.progressbar(list(algs), label="measuring", file=sys.stderr, item_show_func=lambda alg: alg or "") as bar:
        yield bar
