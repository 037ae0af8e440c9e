"""Where one's own tokens lie between two commands: in the system's keyring where there is one, else in a file of mode 0600."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from admit.cli.exits import Stop
from admit.cli.input import NoToken, read_token
from admit.cli.output import write_file
from admit.cli.reading import read
from admit.errors import shown

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_SERVICE: Final = "admit"
_SECRETS: Final = ("access_token", "refresh_token")

tokens_option: Final = click.option(
    "--tokens",
    type=click.Path(path_type=Path),
    envvar="ADMIT_TOKENS",
    metavar="FILE",
    help="Where the tokens lie; they are in that file itself, and not in the keyring. [ADMIT_TOKENS]",
)
store_option: Final = click.option(
    "--store",
    type=click.Choice(["keyring", "file"]),
    help="Where to keep the tokens.  [default: the keyring, where the system has one, else a file]",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A session with a service. Its repr shows no token."""

    url: str
    user: str
    expires_at: int
    """When the access token ends, in seconds since 1970."""
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


class Chosen(NamedTuple):
    """The token to act on, and its name in a sentence."""

    token: str
    name: str


def place(given: Path | None) -> Path:
    """The file that says where one is logged in."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return given or base / "admit" / "tokens.json"


def ready(given: Path | None, store: str | None) -> None:
    """Raises Stop where a session could not be kept: to be asked before one is begun, and lost."""
    path, ring = place(given), _ring(given, store)
    if ring is not None:
        _asked(ring.get_password, _SERVICE, str(path.absolute()))
    _make_folder(path)
    try:
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from None


def keep(given: Path | None, kept: Kept, store: str | None = None) -> str:
    """Keep a session, and say where. Raises Stop where that cannot be. store: None goes on as before, or chooses."""
    path, ring = place(given), _ring(given, store)
    members: dict[str, Any] = asdict(kept)
    if ring is not None:
        secrets = json.dumps({name: members.pop(name) for name in _SECRETS})
        _asked(ring.set_password, _SERVICE, str(path.absolute()), secrets)
        members["keyring"] = True
    _make_folder(path)
    write_file(str(path), json.dumps(members).encode(), force=True)
    return "the keyring" if ring is not None else str(path)


def kept_in(given: Path | None) -> Kept:
    """The session that is kept. Raises Stop where there is none."""
    path = place(given)
    none = Stop(f"there are no tokens in {path}; jwt login gets some")
    try:
        members = json.loads(path.read_bytes())
        if members.pop("keyring", False):
            ring = _keyring()
            found = None if ring is None else _asked(ring.get_password, _SERVICE, str(path.absolute()))
            if found is None:
                raise none
            members |= json.loads(found)
        return Kept(
            url=str(members["url"]),
            user=str(members.get("user", "")),
            expires_at=int(members["expires_at"]),
            access_token=str(members["access_token"]),
            refresh_token=str(members["refresh_token"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise none from None


def given_or_kept(words: tuple[str, ...], tokens: Path | None) -> Chosen:
    """The token in the argument, or on a stdin that holds one; else the access token that is kept. Raises Stop."""
    given = ""
    if words or not sys.stdin.isatty():
        try:
            given = read_token(words)
        except NoToken:
            if words:
                raise
    token = given or kept_in(tokens).access_token
    jti = read(token).claims.get("jti")
    named = f", jti {shown(jti)}" if isinstance(jti, str) else ""
    return Chosen(token, f"the token {'given' if given else 'kept'}{named}")


def forget(given: Path | None) -> None:
    """Remove what is kept, wherever it lies."""
    path = place(given)
    ring = _keyring() if _store_of(path) == "keyring" else None
    if ring is not None:
        _asked(ring.delete_password, _SERVICE, str(path.absolute()))
    path.unlink(missing_ok=True)


def _ring(given: Path | None, store: str | None) -> KeyringBackend | None:
    """The keyring to keep tokens in; None for a file. Raises Stop where one is asked for that is not there."""
    if store is None:
        store = "file" if given else _store_of(place(given))
    ring = _keyring() if store != "file" else None
    if store == "keyring" and ring is None:
        raise Stop("there is no keyring here: pip install 'admit[keyring]', or --store file")
    return ring


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> Stop:
    return Stop(f"the tokens cannot be kept in {path}: {error.strerror}; --tokens FILE names another place")


def _store_of(path: Path) -> str | None:
    """Where the tokens lay until now; None where there are none."""
    try:
        members = json.loads(path.read_bytes())
        return "keyring" if members.get("keyring") else "file"
    except (OSError, ValueError, AttributeError):
        return None


def _keyring() -> KeyringBackend | None:
    """The system's keyring; None where it has none that hides what it keeps."""
    try:
        import keyring
    except ModuleNotFoundError:
        return None
    backend = keyring.get_keyring()
    return backend if backend.priority >= 1 else None


def _asked(call: Any, *arguments: str) -> str | None:
    """What the keyring answers. It may be locked, or its owner may say no."""
    from keyring.errors import KeyringError, PasswordDeleteError

    try:
        answer: str | None = call(*arguments)
    except PasswordDeleteError:  # it is not there: what was wanted
        return None
    except (KeyringError, OSError) as error:
        raise Stop(f"the keyring does not answer ({type(error).__name__}); --store file does without it") from None
    return answer
