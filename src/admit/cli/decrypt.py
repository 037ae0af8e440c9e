"""`jwt decrypt`: what is inside an encrypted token. Who wrote it is not shown by its opening."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from admit.cli.exits import Exit, Stop
from admit.cli.input import MAX_INPUT, read_token, token_argument
from admit.cli.keyfile import KeyOptions, key_options
from admit.cli.output import json_option, note, print_fields, print_json
from admit.cli.reading import read
from admit.errors import MalformedToken
from admit.jose import header as headers
from admit.jose import jwe
from admit.jose.encoding import b64url_encode, json_object
from admit.jose.header import normal_type

if TYPE_CHECKING:
    from admit.jose.jwe import Jwe

_UNSIGNED: Final = "Opened. That shows nobody's hand: "


@click.command()
@token_argument
@key_options("enc")
@click.option("--inflate", is_flag=True, help="Also open what was compressed (zip), up to 250 kB.")
@json_option
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME",
    help="Only this member (or header.NAME, or NAME.MEMBER); may be repeated.",
)
@click.option("-q", "--quiet", is_flag=True, help="No remark on stderr.")
def decrypt(
    token: tuple[str, ...], keys: KeyOptions, inflate: bool, as_json: bool, fields: tuple[str, ...], quiet: bool
) -> None:
    """Open an encrypted token with a private key or a shared secret, and write what is inside to stdout.

    Where a signed token is inside, check it: `jwt decrypt ... | jwt verify ...`. A token that does not open ends with 10,
    and nothing says why: that would help whoever tries keys.
    """
    text = read_token(token)
    if text.count(".") == 2 and not read(text).sealed:
        raise Stop("the token is signed and not encrypted: jwt decode shows it", Exit.MALFORMED)
    header = headers.parse(text.partition(".")[0].encode("utf-8", "replace"))
    opened = jwe.decrypt(text, keys.read().answering(header.alg, header.kid), inflate=inflate, limit=MAX_INPUT)
    nested = normal_type(str(opened.header.members.get("cty", ""))) == "jwt"
    note(_UNSIGNED + ("jwt verify checks the token inside." if nested else "anybody who has the key wrote it."), quiet)
    if fields:
        inside = ": a signed token is inside; pipe it to jwt verify" if nested else ""
        print_fields({"header": opened.header.members, "claims": _object(opened)}, fields, as_json, inside)
    elif as_json:
        print_json({"verified": False, "header": opened.header.members} | _content(opened, nested))
    else:
        _write(opened.plaintext + b"\n" if nested else opened.plaintext)


def _object(opened: Jwe) -> dict[str, Any]:
    try:
        return json_object(opened.plaintext)
    except MalformedToken:
        return {}


def _content(opened: Jwe, nested: bool) -> dict[str, Any]:
    """What is inside, under the name of what it is."""
    try:
        text = opened.plaintext.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64url": b64url_encode(opened.plaintext).decode()}
    if nested:
        return {"token": text}
    try:
        return {"claims": json_object(opened.plaintext)}
    except MalformedToken:
        return {"text": text}


def _write(data: bytes) -> None:
    if sys.stdout.isatty():
        text = data.decode("utf-8", "replace")
        if not all(c.isprintable() or c in "\n\t" for c in text) or "\ufffd" in text:
            raise Stop("what is inside is binary; write it to a file, or see it with --json")
        click.echo(text.removesuffix("\n"))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
