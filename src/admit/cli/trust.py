"""Whose keys a token is checked with: those named, those at a URL, or those that the issuer's own metadata leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from admit.cli.exits import Exit, Stop
from admit.errors import KeysUnavailable
from admit.jose.keyset import KeySet

if TYPE_CHECKING:
    from collections.abc import Callable

    from admit.cli.keyfile import KeyOptions
    from admit.tokens.verifier import Revocations


class Trust(NamedTuple):
    """The keys to believe, and what was cut off before its end, where the issuer tells."""

    keys: KeySet
    revocations: Revocations | None = None


def trust_in(
    options: KeyOptions, jwks: str | None, discover: bool, issuers: tuple[str, ...]
) -> Callable[[str, str | None], Trust]:
    """What the options say to trust, for a token whose header says an alg and a kid.

    Raises Stop where they say several things, and Unavailable; what is answered raises UnknownKey.
    """
    ways = bool(options.named) + (jwks is not None) + discover
    if ways > 1:
        raise Stop("the keys are given in more than one way: name them, or their --jwks, or --discover them")
    if jwks is not None:
        from admit.cli.remote_keys import keys_at

        published = Trust(keys_at(jwks, options.alg, issuers[0] if len(issuers) == 1 else None))
    elif discover:
        if len(issuers) != 1:
            raise Stop("--discover needs the one --issuer whose keys they are; the token's own word is not enough")
        published = _discovered(issuers[0], options.alg)
    else:
        named = options.read()
        return lambda alg, kid: Trust(named.answering(alg, kid))
    return lambda alg, kid: published  # noqa: ARG005


def _discovered(issuer: str, alg: str | None) -> Trust:
    from admit.remote.fetch import Fetcher
    from admit.remote.issuer import RemoteIssuer
    from admit.remote.jwks import ALGORITHMS
    from admit.remote.metadata import fetch_metadata

    tells = "revocations_uri" in fetch_metadata(Fetcher(), issuer).members
    remote = RemoteIssuer(issuer, revocations="required" if tells else "none", algorithms=(alg,) if alg else ALGORITHMS)
    click.get_current_context().call_on_close(remote.close)
    try:
        return Trust(remote.keys.current(), remote.revocations)
    except KeysUnavailable as error:
        raise Stop(str(error), Exit.NETWORK) from None
