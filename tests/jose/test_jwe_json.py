"""JWE in JSON: what opens for whom, and every document that could be read in two ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from admit import Key, KeySet
from admit.errors import (
    AdmitError,
    ConfigurationError,
    DecryptionFailed,
    InvalidKey,
    MalformedToken,
    UnknownKey,
    WrongType,
)
from admit.jose import jwe, jwe_json, jws_json
from admit.jose.encoding import MAX_TOKEN, b64url_encode
from admit.jose.jwe_json import MAX_RECIPIENTS, Recipient
from tests.helpers.forge import key as signing_key

RSA, AES, CURVE = Key.generate("RSA-OAEP-256"), Key.generate("A256KW"), Key.generate("ECDH-ES+A128KW", curve="X25519")
DIRECT, AGREED = Key.generate("A256GCM"), Key.generate("ECDH-ES")
EVERYONE = [RSA, AES, CURVE]
PASSWORD = Key.from_secret(b"correct horse", "PBES2-HS256+A128KW")


def document(**changes: Any) -> dict[str, Any]:
    """A general document for everyone, with members changed, or left out where a change is an ellipsis."""
    made = json.loads(jwe_json.encrypt_general(EVERYONE, b"secret", typ="x", aad=b"more", unprotected={"jku": "u"}))
    return {name: value for name, value in (made | changes).items() if value is not ...}


def opened(members: dict[str, Any], key: Key = AES, **settings: Any) -> bytes:
    return jwe_json.decrypt(json.dumps(members), key, **settings).plaintext


@pytest.mark.parametrize("key", [*EVERYONE, DIRECT, AGREED, Key.generate("A128GCMKW"), PASSWORD])
def test_a_flattened_document_opens_for_its_recipient(key: Key) -> None:
    text = jwe_json.encrypt_flattened(
        key, b"secret", typ="x", header={"cty": "text/plain"}, unprotected={"jku": "u"}, aad=b"more"
    )
    read = jwe_json.decrypt(text, key, typ="x")
    assert (read.plaintext, read.aad, read.index, read.key) == (b"secret", b"more", 0, key)
    assert read.header.unprotected == {"jku"}  # what is said of the key is protected where there is one only
    assert not {"enc", "typ", "cty"} & read.header.unprotected


def test_a_general_document_opens_for_each_recipient_and_for_nobody_else() -> None:
    text = jwe_json.encrypt_general([Recipient(key, {"x": 1}) for key in EVERYONE], b"secret")
    for index, key in enumerate(EVERYONE):
        read = jwe_json.decrypt(text, key)
        assert (read.plaintext, read.index, read.aad, read.header.members["x"]) == (b"secret", index, None, 1)
    assert jwe_json.decrypt(text, [KeySet([RSA]), AES]).index == 0
    with pytest.raises(UnknownKey):
        jwe_json.decrypt(text, Key.generate("A256KW"))
    with pytest.raises(UnknownKey):
        jwe_json.decrypt(text, [])


def test_without_kids_each_recipient_that_could_be_meant_is_tried() -> None:
    keys = [Key.generate("A256KW") for _ in range(3)]
    text = jwe_json.encrypt_general([Recipient(key, kid=False) for key in keys], b"secret")
    assert [jwe_json.decrypt(text, key).index for key in keys] == [0, 1, 2]
    with pytest.raises(DecryptionFailed):
        jwe_json.decrypt(text, Key.generate("A256KW"))


def test_a_password_is_tried_for_one_recipient_only() -> None:
    text = jwe_json.encrypt_general([Recipient(PASSWORD, kid=False)] * 2, b"secret")
    with pytest.raises(MalformedToken, match="p2c"):
        jwe_json.decrypt(text, PASSWORD)


@pytest.mark.parametrize("key", [DIRECT, AGREED])
def test_a_content_key_that_is_not_chosen_has_one_recipient(key: Key) -> None:
    with pytest.raises(ConfigurationError, match="one recipient"):
        jwe_json.encrypt_general([key, AES], b"secret", enc="A256GCM")
    made = json.loads(jwe_json.encrypt_general([key], b"secret"))
    assert opened(made, key) == b"secret"
    made["recipients"].append(document()["recipients"][1])
    with pytest.raises(MalformedToken, match="one recipient"):
        opened(made, key)


CHANGES: dict[str, Callable[[], dict[str, Any]]] = {
    "no ciphertext": lambda: document(ciphertext=...),
    "no iv": lambda: document(iv=...),
    "no tag": lambda: document(tag=...),
    "a tag that is no text": lambda: document(tag=5),
    "a tag that is null": lambda: document(tag=None),
    "a short tag": lambda: document(tag="AAAA"),
    "an iv of 16 bytes": lambda: document(iv="A" * 22),
    "aad that is no text": lambda: document(aad=[]),
    "aad that is not canonical": lambda: document(aad="AB"),
    "an empty protected header": lambda: document(protected=""),
    "an empty unprotected header": lambda: document(unprotected={}),
    "an unprotected header that is a list": lambda: document(unprotected=[]),
    "no recipients": lambda: document(recipients=[]),
    "too many recipients": lambda: document(recipients=document()["recipients"][1:2] * (MAX_RECIPIENTS + 1)),
    "recipients that are an object": lambda: document(recipients={}),
    "a recipient that is text": lambda: document(recipients=["x"]),
    "both forms": lambda: document(encrypted_key="AAAA"),
    "both forms by header": lambda: document(header={"alg": "A256KW"}),
    "signatures": lambda: document(signatures=[]),
    "a payload": lambda: document(payload="AAAA"),
    "crit unprotected": lambda: document(unprotected={"crit": ["x"], "x": 1}),
    "zip unprotected": lambda: document(unprotected={"zip": "DEF"}),
    "a name twice, shared and own": lambda: document(unprotected={"alg": "A256KW"}),
    "a name twice, protected and shared": lambda: document(unprotected={"enc": "A256GCM"}),
    "what is shared in a recipient": lambda: document(
        recipients=[one | {"ciphertext": "AAAA"} for one in document()["recipients"]]
    ),
    "an encrypted key that is no text": lambda: document(
        recipients=[one | {"encrypted_key": None} for one in document()["recipients"]]
    ),
    "an empty recipient's header": lambda: document(recipients=[{"header": {}, "encrypted_key": "AAAA"}]),
    "a recipient without alg": lambda: document(recipients=[{"encrypted_key": "AAAA"}]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_document_that_is_not_exactly_right_is_refused(what: str) -> None:
    with pytest.raises(MalformedToken):
        opened(CHANGES[what](), inflate=True)


def test_nothing_authenticated_can_be_changed() -> None:
    made = document()
    for name in ("ciphertext", "tag", "iv", "aad"):
        first = made[name][0]
        with pytest.raises(DecryptionFailed):
            opened(made | {name: ("A" if first != "A" else "Q") + made[name][1:]})
    with pytest.raises(DecryptionFailed):
        opened({name: value for name, value in made.items() if name != "aad"})
    with pytest.raises(DecryptionFailed):
        opened(made | {"protected": b64url_encode(b'{"enc":"A256GCM","typ":"x","y":1}').decode()})


def test_recipients_agree_on_enc_and_the_header_widens_nothing() -> None:
    made = document()
    protected = b64url_encode(b'{"typ":"x"}').decode()
    entries = [one | {"header": one["header"] | {"enc": "A256GCM"}} for one in made["recipients"]]
    entries[0]["header"]["enc"] = "A128GCM"
    with pytest.raises(MalformedToken, match="differ"):
        opened(made | {"protected": protected, "recipients": entries})
    with pytest.raises(MalformedToken, match="accepted"):
        opened(made, enc="A128GCM")
    with pytest.raises(ConfigurationError):
        opened(made, enc=[])
    assert opened(made, typ="x") == b"secret"
    with pytest.raises(WrongType):
        opened(made, typ="y")


def test_signed_and_encrypted_documents_never_pass_for_each_other() -> None:
    signing = signing_key("HS256")
    with pytest.raises(MalformedToken, match="JWS"):
        jwe_json.decrypt(jws_json.sign_flattened(signing, b"payload"), AES)
    with pytest.raises(MalformedToken, match="JWE"):
        jws_json.verify(json.dumps(document()), signing)
    with pytest.raises(InvalidKey):
        jwe_json.encrypt_flattened(signing, b"secret")


def test_nobody_makes_what_nobody_reads() -> None:
    calls: list[Callable[[], str]] = [
        lambda: jwe_json.encrypt_general([], b"secret"),
        lambda: jwe_json.encrypt_general([AES] * (MAX_RECIPIENTS + 1), b"secret"),
        lambda: jwe_json.encrypt_flattened(AES, b"secret", unprotected={"alg": "dir"}),
        lambda: jwe_json.encrypt_flattened(AES, b"secret", unprotected={"x": 1}, header={"x": 2}),
        lambda: jwe_json.encrypt_flattened(Recipient(AES, {"x": 1}), b"secret", unprotected={"x": 2}),
        lambda: jwe_json.encrypt_flattened(AES, "secret"),  # type: ignore[arg-type]
        lambda: jwe_json.encrypt_flattened(DIRECT, b"secret", enc="A128GCM"),
    ]
    for call in calls:
        with pytest.raises(AdmitError):
            call()


def test_a_header_that_no_reader_reads_is_not_written() -> None:
    bad: dict[str, object] = {"cty": 5}
    calls: list[Callable[[], str]] = [
        lambda: jwe_json.encrypt_flattened(AES, b"secret", header=bad),
        lambda: jwe_json.encrypt_flattened(AES, b"secret", unprotected=bad),
        lambda: jwe_json.encrypt_flattened(Recipient(AES, bad), b"secret"),
        lambda: jwe_json.encrypt_general([AES], b"secret", header=bad),
        lambda: jwe_json.encrypt_general([AES], b"secret", unprotected=bad),
        lambda: jwe_json.encrypt_general([RSA, Recipient(AES, bad)], b"secret"),
        lambda: jwe_json.encrypt_general([Recipient(AES, {"x": 1})], b"secret", unprotected={"x": 1}),
        lambda: jwe_json.encrypt_general([Recipient(AES, {"x": 1})], b"secret", header={"x": 1}),
    ]
    for call in calls:
        with pytest.raises(MalformedToken):
            call()


def test_the_kid_and_compression_are_said_only_where_they_are_asked_for() -> None:
    for text in (
        jwe_json.encrypt_flattened(Recipient(AES, kid=False), b"secret"),
        jwe_json.encrypt_general([Recipient(AES, kid=False)], b"secret"),
    ):
        members = jwe_json.decrypt(text, AES).header.members
        assert not {"kid", "zip", "typ"} & members.keys()
        assert not {"unprotected", "aad"} & json.loads(text).keys()
    for text in (jwe_json.encrypt_flattened(AES, b"secret"), jwe_json.encrypt_general([AES], b"secret")):
        assert jwe_json.decrypt(text, AES).header.kid == AES.kid
    text = jwe_json.encrypt_flattened(Recipient(AES, {"x": 1}), b"secret")
    assert json.loads(text)["header"] == {"x": 1}
    assert jwe_json.decrypt(text, AES).header.unprotected == {"x"}
    packed = jwe_json.encrypt_general([AES], b"x" * 1000, compress=True)
    assert jwe_json.decrypt(packed, AES, inflate=True).plaintext == b"x" * 1000
    with pytest.raises(MalformedToken, match="nobody asked"):
        jwe_json.decrypt(packed, AES)


def test_a_document_may_have_as_many_characters_as_its_limit() -> None:
    text = jwe_json.encrypt_flattened(AES, b"secret")
    assert jwe_json.decrypt(text.encode(), AES, limit=len(text)).plaintext == b"secret"
    with pytest.raises(MalformedToken, match="at most"):
        jwe_json.decrypt(text, AES, limit=len(text) - 1)


def test_what_is_empty_is_left_out_and_refused_where_it_is_not() -> None:
    for own in (DIRECT, AGREED):
        for text in (jwe_json.encrypt_flattened(own, b"secret"), jwe_json.encrypt_general([own], b"secret")):
            assert "encrypted_key" not in text
            assert "aad" not in text
    made = json.loads(jwe_json.encrypt_flattened(DIRECT, b"secret"))
    for name in ("encrypted_key", "aad", "protected", "iv", "tag"):
        with pytest.raises(MalformedToken):
            opened(made | {name: ""}, DIRECT)
    with pytest.raises(ConfigurationError, match="aad"):
        jwe_json.encrypt_flattened(AES, b"secret", aad=b"")


def test_as_many_recipients_are_written_as_are_read() -> None:
    keys = [Key.generate("A256KW") for _ in range(MAX_RECIPIENTS)]
    text = jwe_json.encrypt_general(keys, b"secret")
    assert all(jwe_json.decrypt(text, key, limit=100_000).plaintext == b"secret" for key in keys)


def test_one_key_is_tried_a_bounded_number_of_times() -> None:
    nameless = [Recipient(Key.generate("A256KW"), kid=False) for _ in range(jwe_json.MAX_TRIES)]
    most = jwe_json.encrypt_general(nameless, b"secret")
    assert jwe_json.decrypt(most, nameless[-1].key).plaintext == b"secret"
    with pytest.raises(ConfigurationError, match="at most 4 recipients are left without a kid"):
        jwe_json.encrypt_general([*nameless, Recipient(AES, kid=False)], b"secret")
    more = json.loads(most)
    more["recipients"].append(more["recipients"][0])
    with pytest.raises(MalformedToken, match="more than 4 recipients would be tried with one key"):
        jwe_json.decrypt(json.dumps(more), nameless[0].key)


def test_what_is_signed_has_no_place_among_recipients() -> None:
    for name in ("payload", "signature", "signatures"):
        document = json.loads(jwe_json.encrypt_general([AES], b"secret"))
        document["recipients"][0][name] = "x"
        with pytest.raises(MalformedToken, match="among what one has alone"):
            jwe_json.decrypt(json.dumps(document), AES)


def test_sizes_that_are_wrong_are_refused_before_a_key_is_used() -> None:
    password = Key.from_secret(b"correct horse", "PBES2-HS256+A128KW")
    agreed = Key.generate("ECDH-ES+A256KW")
    for own in (password, agreed):
        head, wrapped, iv, ciphertext, tag = jwe.encrypt(own.public() if own is agreed else own, b"secret").split(".")
        for wrong in ("", "AAAA", iv + "AAAA" + iv):
            for parts in ((wrong, tag), (iv, wrong)):
                with pytest.raises(MalformedToken, match="has an IV of 12 bytes"):
                    decrypted_without_work(".".join((head, wrapped, parts[0], ciphertext, parts[1])), own)
        for size in (0, 8, 39, 41):
            short = b64url_encode(bytes(size)).decode()
            with pytest.raises(DecryptionFailed):
                decrypted_without_work(".".join((head, short, iv, ciphertext, tag)), own)


def decrypted_without_work(token: str, own: Key) -> object:
    """Decrypt with a key that has no numbers to work with."""
    hollow = Key.__new__(Key)
    for name in ("algorithm", "alg", "kid", "key_ops"):
        object.__setattr__(hollow, name, getattr(own, name))
    object.__setattr__(hollow, "_material", (object(), object()))
    return jwe.decrypt(token, hollow)


def test_limits_come_before_any_work() -> None:
    for text in ("[" * 100_000, "." * 5_000_000, json.dumps(document(x="A" * MAX_TOKEN))):
        with pytest.raises(MalformedToken, match="at most"):
            jwe_json.decrypt(text, AES)
    others: list[Any] = [None, 5, {}, []]
    for what in others:
        with pytest.raises(MalformedToken):
            jwe_json.decrypt(what, AES)


def test_compression_is_read_on_request_only() -> None:
    text = jwe_json.encrypt_flattened(AES, b"x" * 1000, compress=True)
    assert jwe_json.decrypt(text, AES, inflate=True).plaintext == b"x" * 1000
    with pytest.raises(MalformedToken, match="nobody asked"):
        jwe_json.decrypt(text, AES)
