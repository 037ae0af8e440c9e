"""`jwt encrypt`: a token that only its receiver can read."""

from __future__ import annotations

from typing import Final

import click

from admit.cli.exits import Stop
from admit.cli.files import FILE
from admit.cli.input import read_bytes, read_token, token_argument
from admit.cli.keyfile import KeyOptions, key_options
from admit.cli.output import note
from admit.errors import MalformedToken
from admit.jose import header as headers
from admit.jose import jwe
from admit.jose.content_encryption import CONTENT_ENCRYPTION
from admit.jose.jws import split

_LARGEST: Final = 256 * 1024  # bytes: what is larger is a file, and no token


@click.command()
@token_argument
@key_options("enc")
@click.option(
    "--enc",
    type=click.Choice(list(CONTENT_ENCRYPTION)),
    metavar="ENC",
    help=f"How the content is encrypted: {', '.join(CONTENT_ENCRYPTION)}.  [default: A256GCM]",
)
@click.option("--raw", metavar="FILE", type=FILE, help="Encrypt the bytes of a file instead of a token; - for stdin.")
@click.option("-q", "--quiet", is_flag=True, help="No remark on stderr.")
def encrypt(token: tuple[str, ...], keys: KeyOptions, enc: str | None, raw: str | None, quiet: bool) -> None:
    """Encrypt a signed token to its receiver's public key, or with a shared secret, and write it to stdout (RFC 7516).

    Sign first, and encrypt what comes out: `jwt sign ... | jwt encrypt --key receiver.jwk`. Encryption alone shows nobody's
    hand, since anybody can encrypt to a public key.
    """
    if raw is not None:
        if token:
            raise Stop("a token and --raw are both given")
        content, inside = read_bytes(raw), None
        if len(content) > _LARGEST:
            raise Stop(f"there are {len(content)} bytes; at most {_LARGEST} go into a token")
    else:
        text = read_token(token)
        try:
            headers.parse(split(text)[1])
        except MalformedToken as error:
            raise Stop(f"that is no signed token: {error}; --raw encrypts anything else") from None
        content, inside = text.encode("ascii"), {"cty": "JWT"}
    key = keys.one()
    made = jwe.encrypt(key, content, enc=enc, header=inside)
    note(f"encrypted for key {key.kid} ({key.algorithm.name})", quiet)
    click.echo(made)
