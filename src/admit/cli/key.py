"""`jwt key`: make keys, and look at them, without ever showing a private half unasked."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import click

from admit.cli.alg import AlgChoice
from admit.cli.exits import Stop
from admit.cli.files import FILE
from admit.cli.group import CONTEXT, Group
from admit.cli.input import prompt, read_secret
from admit.cli.keyfile import ALGS, CURVED, alg_option, password_option, read_keys
from admit.cli.output import for_people, json_option, note, print_json, print_sections, write_file
from admit.jose.keys import Key

_BARE: Final = ("pem", "der")  # a key alone, without kid and alg
_FORMS: Final = ("jwk", "jwks", *_BARE)

file_argument = click.argument("file", type=FILE)
force_option = click.option("--force", is_flag=True, help="Replace a file that is there already.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No remark on stderr.")


@click.group(cls=Group, context_settings=CONTEXT)
def key() -> None:
    """Make keys and look at them.

    Private halves are written to files that only you can read, and shown only when asked for.
    """


@key.command()
@click.argument("file", type=FILE)
@click.option(
    "--alg",
    type=AlgChoice((*ALGS["sig"], *ALGS["enc"])),
    metavar="ALG",
    default="ES256",
    show_default=True,
    help="The one algorithm: to sign, or to encrypt (ECDH-ES+A256KW, RSA-OAEP-256, A256KW, ...).",
)
@click.option("--kid", help="The key id.  [default: the RFC 7638 thumbprint; random for a secret]")
@click.option("--bits", type=int, default=2048, show_default=True, metavar="N", help="The size of an RSA key.")
@click.option(
    "--curve",
    default="P-256",
    show_default=True,
    metavar="CURVE",
    help="Of ECDH-ES: P-256, P-384, P-521, X25519, X448.",
)
@click.option(
    "--to", "form", type=click.Choice(_FORMS), help="How to write it.  [default: by the file's ending, else jwk]"
)
@click.option("--encrypt", is_flag=True, help="Ask for a password, and encrypt the PEM or DER with it.")
@click.option(
    "--password-file", metavar="FILE", type=FILE, help="Encrypt the PEM or DER with the password in this file."
)
@force_option
@quiet_option
def generate(
    file: str,
    alg: str,
    kid: str | None,
    bits: int,
    curve: str,
    form: str | None,
    encrypt: bool,
    password_file: str | None,
    force: bool,
    quiet: bool,
) -> None:
    """Make a key in FILE (mode 0600), and write its public JWK to stdout.

    With - as FILE the private key itself goes to stdout, and nothing else does. PEM and DER hold no kid and no algorithm:
    a key that is read from there is called by its thumbprint.
    """
    form = form or _by_ending(file)
    if kid is not None and form in _BARE:
        raise Stop(f"{form.upper()} holds no kid: leave --kid out, or write --to jwk")
    if (encrypt or password_file) and form not in _BARE:
        raise Stop("only PEM and DER can be encrypted; add --to pem")
    password = read_secret(password_file, None, False, "password")
    if encrypt and password is None:
        password = prompt("password", instead="--password-file FILE", confirm=True).encode()
    made = Key.generate(alg, kid=kid, bits=bits, curve=curve)
    _write(_encoded([made], form, True, password), file, force)
    _tell_loss(made, form, quiet)
    note(f"made {'a secret' if made.algorithm.symmetric else 'a private key'} for {made.alg}, kid {made.kid}", quiet)
    if file != "-" and not made.algorithm.symmetric:
        print_json(made.to_jwk())


@key.command()
@file_argument
@alg_option
@password_option
@click.option("--to", "form", type=click.Choice(_FORMS), help="How to write it.  [default: jwk; jwks for a set]")
@click.option("--out", metavar="FILE", type=FILE, default="-", help="Where to.  [default: stdout]")
@force_option
def public(file: str, alg: str | None, password_file: str | None, form: str | None, out: str, force: bool) -> None:
    """Write the public half of the keys in FILE."""
    keys = [one.public() for one in read_keys(file, alg, password_file)]
    form = form or ("jwk" if len(keys) == 1 else "jwks")
    _write(_encoded(keys, form, False, None), out, force)
    _tell_loss(keys[0], form)


@key.command()
@file_argument
@alg_option
@password_option
@click.option("--uri", is_flag=True, help="As a URI (RFC 9278).")
def thumbprint(file: str, alg: str | None, password_file: str | None, uri: bool) -> None:
    """Write the RFC 7638 thumbprint of each key in FILE, one a line."""
    for one in read_keys(file, alg, password_file):
        if one.algorithm.symmetric:
            raise Stop("the thumbprint of a secret would let anyone who sees it test guesses; it is not shown")
        click.echo(one.thumbprint_uri() if uri else one.thumbprint())


@key.command()
@file_argument
@alg_option
@password_option
@click.option("--private", is_flag=True, help="Show the private members too.")
@json_option
def show(file: str, alg: str | None, password_file: str | None, private: bool, as_json: bool) -> None:
    """Say what the keys in FILE are. Private members stay hidden, unless --private asks for them."""
    described = [_described(one, private) for one in read_keys(file, alg, password_file)]
    if for_people(as_json):
        for members in described:
            print_sections({f"{members['alg']} ({members['half']})": list(members.items())})
    else:
        print_json(described)


@key.command()
@file_argument
@click.argument("out", type=FILE)
@alg_option
@password_option
@click.option(
    "--to", "form", type=click.Choice(_FORMS), help="How to write it.  [default: by the ending of OUT, else jwk]"
)
@click.option("--private", is_flag=True, help="Keep the private half; without it only the public one is written.")
@click.option("--encrypt", is_flag=True, help="Ask for a password, and encrypt the PEM or DER with it.")
@force_option
def convert(
    file: str,
    out: str,
    alg: str | None,
    password_file: str | None,
    form: str | None,
    private: bool,
    encrypt: bool,
    force: bool,
) -> None:
    """Write the keys in FILE in another form to OUT; - is stdout.

    Without --private only public halves are written.
    """
    form = form or _by_ending(out)
    if encrypt and (not private or form not in _BARE):
        raise Stop("only a private key in PEM or DER can be encrypted; add --private and --to pem")
    keys = read_keys(file, alg, password_file)
    password = prompt("new password", confirm=True).encode() if encrypt else None
    _write(_encoded(keys if private else [one.public() for one in keys], form, private, password), out, force)
    _tell_loss(keys[0], form)


def _by_ending(file: str) -> str:
    ending = file.rpartition(".")[2].lower()
    return ending if ending in _FORMS else "jwk"


def _encoded(keys: list[Key], form: str, private: bool, password: bytes | None) -> bytes:
    if form == "jwks":
        return _json({"keys": [one.to_jwk(private=private) for one in keys]})
    if len(keys) != 1:
        raise Stop(f"{form} holds one key, and there are {len(keys)}; use --to jwks")
    one = keys[0]
    if form == "jwk":
        return _json(one.to_jwk(private=private))
    write = one.to_pem if form == "pem" else one.to_der
    return write(private=private, password=password)


def _tell_loss(one: Key, form: str, quiet: bool = False) -> None:
    """Say what a form does not hold of the key that was written in it: whoever reads it has to say it."""
    if form in _BARE and one.kid != one.thumbprint():
        note(f"{form.upper()} holds no kid: read from there, the key is called {one.thumbprint()}", quiet, "yellow")
    if form in _BARE and one.algorithm.name not in CURVED:
        note(f"{form.upper()} holds no alg: whoever reads the key says --alg {one.alg}", quiet)


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode("ascii")


def _write(data: bytes, out: str, force: bool) -> None:
    if out != "-":
        write_file(out, data, force)
    elif sys.stdout.isatty() and not data.isascii():
        raise Stop("DER is binary; write it to a file")
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def _described(one: Key, private: bool) -> dict[str, Any]:
    secret = one.algorithm.symmetric
    members: dict[str, Any] = {
        "alg": one.alg,
        "half": "secret" if secret else "private" if one.private else "public",
        "kid": one.kid,
    }
    if not secret:
        members["thumbprint"] = one.thumbprint()
    if not secret or private:
        members["jwk"] = one.to_jwk(private=private and one.private)
    return members
