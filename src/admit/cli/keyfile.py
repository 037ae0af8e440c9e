"""Keys as the command line names them: a PEM, DER, JWK or JWK Set file, or a shared secret that is never in argv."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from binascii import a2b_base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from admit import clock
from admit.cli.alg import AlgChoice
from admit.cli.exits import Stop
from admit.cli.files import FILE
from admit.cli.input import prompt, read_bytes, read_secret
from admit.errors import AdmitError, InvalidKey, MalformedToken, UnknownKey, shown
from admit.jose import pem
from admit.jose.algorithms import ALGORITHMS
from admit.jose.encoding import json_object
from admit.jose.key_management import KEY_MANAGEMENT
from admit.jose.keys import Key
from admit.jose.keyset import KeySet, Use

F = TypeVar("F", bound=Callable[..., Any])
_ENCRYPTED: Final = bytes.fromhex("2a864886f70d0105")  # PKCS#5, at the head of an encrypted PKCS#8 (RFC 8018 C)
CURVED: Final = tuple(name for name, row in ALGORITHMS.items() if row.kty in ("EC", "OKP", "AKP"))


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """What the options said, unread. `one` gives the key to sign with, `read` those to verify with."""

    files: tuple[str, ...] = ()
    alg: str | None = None
    secret_file: str | None = None
    secret_env: str | None = None
    secret_prompt: bool = False
    secret_base64: bool = False
    password_file: str | None = None
    use: Use = "sig"

    @property
    def named(self) -> bool:
        """Whether they name a key at all."""
        return bool(self.files or self.secret_file or self.secret_env or self.secret_prompt)

    def all(self, kid: str | None = None) -> list[Key]:
        """The keys named. A single key that has no kid of its own takes `kid`: whoever names one key means that one."""
        secret = read_secret(self.secret_file, self.secret_env, self.secret_prompt, "secret")
        if secret is None and not self.files:
            raise Stop("no key: give --key FILE, --secret-file, --secret-env or --secret-prompt")
        if self.secret_base64:
            secret = _from_base64(secret)
        kid = kid if len(self.files) + (secret is not None) == 1 else None
        keys = [key for file in self.files for key in read_keys(file, self.alg, self.password_file, kid, self.use)]
        if secret is not None:
            keys.append(self._secret_key(secret, kid))
        return keys

    def _secret_key(self, secret: bytes, kid: str | None) -> Key:
        alg = self.alg or ("HS256" if self.use == "sig" else None)
        if alg is None:
            raise Stop("say with --alg what the secret is for: A256KW, A256GCM, or PBES2-HS512+A256KW for a password")
        return Key.from_secret(secret, alg, kid=kid)

    def one(self) -> Key:
        """The one key to sign or to encrypt with."""
        keys = self.all()
        if len(keys) != 1:
            raise Stop(f"{'signing' if self.use == 'sig' else 'encrypting'} takes one key, and {len(keys)} are given")
        return keys[0]

    def read(self) -> NamedKeys:
        """The keys, read and asked for now, for any number of tokens. Raises Stop."""
        nameless = clock.random_id()
        keys = self.all(nameless)
        return NamedKeys(tuple(keys), any(key.kid == nameless for key in keys), self.alg)


@dataclass(frozen=True, slots=True)
class NamedKeys:
    """Keys that were named, for verifying or decrypting. `nameless`: the only one has no kid of its own."""

    keys: tuple[Key, ...]
    nameless: bool
    alg: str | None = None

    def answering(self, alg: str, kid: str | None) -> KeySet:
        """The keys, for a token whose header says `alg` and `kid`. Raises UnknownKey where none of them is for that."""
        keys = [self._called(key, kid) for key in self.keys] if self.nameless else self.keys
        if not any(key.answers_to(alg) for key in keys):
            have = ", ".join(sorted({key.algorithm.name for key in keys}))
            raise UnknownKey(f"the header says {shown(alg)}, and no key given is for that (but for {have})")
        return KeySet(keys)

    def _called(self, key: Key, kid: str | None) -> Key:
        """The key under that kid, or under the one that a key without any gets."""
        members = {name: value for name, value in key.to_jwk(private=key.private).items() if name != "kid"}
        if kid is not None:
            members["kid"] = kid
        return Key.from_jwk(members, alg=self.alg)


_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_FROM_STDIN: Final = ("files", "secret_file", "password_file", "token", "logs", "raw", "claims")
_READERS: Final = {"PEM": (Key.from_pem, pem.read), "DER": (Key.from_der, pem.read_der)}
_OPENSSH: Final = (b"-----BEGIN OPENSSH", b"ssh-", b"ecdsa-sha2-")
ALGS: Final = {"sig": (*ALGORITHMS, "EdDSA"), "enc": tuple(KEY_MANAGEMENT)}
_SECRETS: Final = {"sig": "A shared secret for HMAC", "enc": "A shared secret, or a password for PBES2"}


def _alg_option(*names: str) -> Callable[[F], F]:
    return click.option(
        "--alg", type=AlgChoice(names), metavar="ALG", help="The key's algorithm, where its file does not say."
    )


alg_option: Final = _alg_option(*ALGS["sig"], *ALGS["enc"])
password_option = click.option(
    "--password-file",
    metavar="FILE",
    type=FILE,
    help="The password of an encrypted PEM or DER file; else it is asked for.",
)


def key_options(use: Use) -> Callable[[F], F]:
    """Add the options that name keys for that use; the command gets them as `keys`, a KeyOptions."""

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def call(*args: Any, **given: Any) -> Any:
            if _asked_of_stdin(given) > 1:
                raise click.UsageError("stdin can be one thing only: give the other in a file.")
            named = {name: given.pop(name) for name in _OPTIONS}
            return command(*args, keys=KeyOptions(**named, use=use), **given)

        for option in reversed(
            (
                click.option(
                    "--key",
                    "files",
                    multiple=True,
                    metavar="FILE",
                    type=FILE,
                    help="A key: PEM, DER, JWK or JWK Set; - for stdin.",
                ),
                _alg_option(*ALGS[use]),
                click.option("--secret-file", metavar="FILE", type=FILE, help=f"{_SECRETS[use]}, in a file."),
                click.option("--secret-env", metavar="NAME", help="A shared secret, in an environment variable."),
                click.option("--secret-prompt", is_flag=True, help="Ask for the shared secret at the terminal."),
                click.option(
                    "--secret-base64", is_flag=True, help="The shared secret is written in base64 or base64url."
                ),
                password_option,
            )
        ):
            call = option(call)
        return call  # type: ignore[return-value]

    return decorate


_OPTIONS: Final = tuple(field.name for field in dataclasses.fields(KeyOptions) if field.name != "use")


def _from_base64(text: bytes | None) -> bytes:
    """The bytes that some services show as base64, in either alphabet, with its padding or not."""
    if text is None:
        raise Stop("--secret-base64 says how a secret is written, and none is given")
    try:
        bare = text.translate(_STANDARD).strip().rstrip(b"=")
        return a2b_base64(bare + b"=" * (-len(bare) % 4), strict_mode=True)
    except ValueError:  # whose message is no more than this
        raise Stop("the secret is not base64") from None


def _asked_of_stdin(given: dict[str, Any]) -> int:
    """How many arguments say that they are on stdin, or, as a token that is not given, leave it open."""
    values = [given.get(name) for name in _FROM_STDIN]
    said = sum(value.count("-") if isinstance(value, tuple) else value == "-" for value in values)
    return said + (given.get("token") == () and not given.get("logs") and not given.get("raw"))


def read_keys(
    path: str, alg: str | None, password_file: str | None = None, kid: str | None = None, use: Use | None = None
) -> list[Key]:
    """The keys of a PEM, DER, JWK or JWK Set file. `kid` is for one that has none of its own; `use` None takes either."""
    if "://" in path:
        raise Stop(
            "a key's file is asked for, and not a URL: jwt verify --jwks reads keys there, jwt jwks fetch saves them"
        )
    data = read_bytes(path)
    name = "stdin" if path == "-" else path
    try:
        if data.lstrip()[:1] == b"{":
            return _json_keys(data, alg, kid, use)
        if data.startswith(_OPENSSH):
            raise InvalidKey("an OpenSSH key; of an ECDSA or RSA one, ssh-keygen -p -m PKCS8 -f makes PEM in its place")
        if b"-----BEGIN " in data:
            return [_bare_key("PEM", data, alg, _password(data, password_file), kid, use)]
        if _is_der(data):
            return [_bare_key("DER", data, alg, _password(data, password_file), kid, use)]
    except AdmitError as error:
        raise Stop(f"{name}: {error}") from None
    raise Stop(f"{name} is neither PEM, DER, JWK nor JWK Set; a bare secret belongs to --secret-file")


def _json_keys(data: bytes, alg: str | None, kid: str | None, use: Use | None) -> list[Key]:
    try:
        members = json_object(data)
    except MalformedToken as error:
        raise InvalidKey(str(error)) from None
    if "keys" not in members:
        return [Key.from_jwk(members if "kid" in members or kid is None else members | {"kid": kid}, alg=alg)]
    keys: list[Key] = []
    problem: InvalidKey | None = None
    for one in (use,) if use else ("sig", "enc"):
        try:
            keys += KeySet.from_jwks(members, algorithms=(alg,) if alg and alg in ALGS[one] else (), use=one)
        except InvalidKey as error:
            problem = problem or error
    if problem is not None and not keys:
        raise problem
    return keys


def _is_der(data: bytes) -> bool:
    """Whether it begins as an ASN.1 SEQUENCE does (X.690 8.1.3). A secret in text may begin with the same 0."""
    return len(data) > 1 and data[0] == 0x30 and (data[1] > 0x80 or data[1] == len(data) - 2)


def _bare_key(form: str, data: bytes, alg: str | None, password: bytes | None, kid: str | None, use: Use | None) -> Key:
    """The key in PEM or DER, which say neither alg nor kid."""
    load, material = _READERS[form]
    if alg is not None:
        return load(data, alg, password=password, kid=kid)
    if use == "enc":
        raise InvalidKey(
            "PEM and DER do not say which encryption they are for; add --alg ECDH-ES+A256KW (or RSA-OAEP-256, ...)"
        )
    kind = type(material(data, "RS256", password)[1]).__name__.removesuffix("PublicKey")
    if kind != "RSA":
        for name in CURVED:  # a key on a curve, or of ML-DSA, is for one algorithm only
            with contextlib.suppress(InvalidKey):
                return load(data, name, password=password, kid=kid)
        raise InvalidKey(
            f"no signature algorithm takes this {kind} key; with --alg ECDH-ES+A256KW one on a curve encrypts"
        )
    load(data, "RS256", password=password, kid=kid)
    raise InvalidKey("an RSA key does not say which algorithm it is for; add --alg RS256 (or PS256, ...)")


def _password(data: bytes, password_file: str | None) -> bytes | None:
    if password_file is not None:
        return read_secret(password_file, None, False, "password")
    locked = b"ENCRYPTED" in data or _ENCRYPTED in data[:32]
    return prompt("password of the key", instead="--password-file FILE").encode() if locked else None
