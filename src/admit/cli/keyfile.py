"""Keys as the command line names them: a PEM, JWK or JWK Set file, or a shared secret that is never in argv."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from admit.cli.exits import Stop
from admit.cli.input import prompt, read_bytes, read_secret
from admit.errors import AdmitError, InvalidKey, MalformedToken
from admit.jose.algorithms import ALGORITHMS
from admit.jose.encoding import json_object
from admit.jose.keys import Key
from admit.jose.keyset import KeySet

F = TypeVar("F", bound=Callable[..., Any])
_OF_A_PAIR: Final = tuple(name for name, row in ALGORITHMS.items() if row.kty in ("EC", "OKP", "AKP"))


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """What the options said, unread. `one` gives the key to sign with, `all` those to verify with."""

    files: tuple[str, ...] = ()
    alg: str | None = None
    secret_file: str | None = None
    secret_env: str | None = None
    secret_prompt: bool = False
    password_file: str | None = None

    def all(self, kid: str | None = None) -> list[Key]:
        """The keys named. A single key that has no kid of its own takes `kid`: whoever names one key means that one."""
        secret = read_secret(self.secret_file, self.secret_env, self.secret_prompt, "secret")
        if secret is None and not self.files:
            raise Stop("no key: give --key FILE, --secret-file, --secret-env or --secret-prompt")
        kid = kid if len(self.files) + (secret is not None) == 1 else None
        keys = [key for file in self.files for key in read_keys(file, self.alg, self.password_file, kid)]
        if secret is not None:
            keys.append(Key.from_secret(secret, self.alg or "HS256", kid=kid))
        return keys

    def one(self) -> Key:
        """The one key to sign with."""
        keys = self.all()
        if len(keys) != 1:
            raise Stop(f"signing takes one key, and {len(keys)} are given")
        return keys[0]


alg_option = click.option(
    "--alg",
    type=click.Choice([*ALGORITHMS, "EdDSA"]),
    metavar="ALG",
    help="The key's algorithm, where its file does not say.",
)
password_option = click.option(
    "--password-file", metavar="FILE", help="The password of an encrypted PEM file; else it is asked for."
)


def key_options(command: F) -> F:
    """Add the options that name keys; the command gets them as `keys`, a KeyOptions."""

    @functools.wraps(command)
    def call(*args: Any, **given: Any) -> Any:
        options = KeyOptions(**{field.name: given.pop(field.name) for field in dataclasses.fields(KeyOptions)})
        return command(*args, keys=options, **given)

    for option in reversed(
        (
            click.option(
                "--key", "files", multiple=True, metavar="FILE", help="A key: PEM, JWK or JWK Set; - for stdin."
            ),
            alg_option,
            click.option("--secret-file", metavar="FILE", help="A shared secret for HMAC, in a file."),
            click.option("--secret-env", metavar="NAME", help="A shared secret, in an environment variable."),
            click.option("--secret-prompt", is_flag=True, help="Ask for the shared secret at the terminal."),
            password_option,
        )
    ):
        call = option(call)
    return call  # type: ignore[return-value]


def read_keys(path: str, alg: str | None, password_file: str | None = None, kid: str | None = None) -> list[Key]:
    """The keys of a PEM, JWK or JWK Set file. `kid` is for one that has none of its own."""
    data = read_bytes(path)
    name = "stdin" if path == "-" else path
    try:
        if data.lstrip()[:1] == b"{":
            return _json_keys(data, alg, kid)
        if b"-----BEGIN " in data:
            return [_pem_key(data, alg, _password(data, password_file), kid)]
    except AdmitError as error:
        raise Stop(f"{name}: {error}") from None
    raise Stop(f"{name} is neither PEM, JWK nor JWK Set; a bare secret belongs to --secret-file")


def _json_keys(data: bytes, alg: str | None, kid: str | None) -> list[Key]:
    try:
        members = json_object(data)
    except MalformedToken as error:
        raise InvalidKey(str(error)) from None
    if "keys" not in members:
        return [Key.from_jwk(members if "kid" in members or kid is None else members | {"kid": kid}, alg=alg)]
    return list(KeySet.from_jwks(members, algorithms=(alg,) if alg else ()))


def _pem_key(data: bytes, alg: str | None, password: bytes | None, kid: str | None) -> Key:
    if alg is not None:
        return Key.from_pem(data, alg, password=password, kid=kid)
    problem: InvalidKey | None = None
    for name in _OF_A_PAIR:  # a key on a curve, or of ML-DSA, is for one algorithm only
        try:
            return Key.from_pem(data, name, password=password, kid=kid)
        except InvalidKey as error:
            problem = problem or error
    try:
        Key.from_pem(data, "RS256", password=password, kid=kid)
    except InvalidKey as error:
        raise problem or error from None
    raise InvalidKey("an RSA key does not say which algorithm it is for; add --alg RS256 (or PS256, ...)")


def _password(data: bytes, password_file: str | None) -> bytes | None:
    if password_file is not None:
        return read_secret(password_file, None, False, "password")
    return prompt("password of the key").encode() if b"ENCRYPTED" in data else None
