"""Sign, verify, encrypt and decrypt bytes with each algorithm: Admit, joserfc and jwcrypto, side by side in one run.

Then what is refused before it costs anything: hostile tokens, with the milliseconds and kilobytes that each one took.

    python bench/jose.py [--quick]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from admit import Key
from admit.errors import AdmitError
from admit.jose import jwe, jwe_json, jws, jws_json
from admit.jose.algorithms import ALGORITHMS
from admit.jose.encoding import b64url_decode, b64url_encode, json_bytes
from admit.jose.key_management import KEY_MANAGEMENT

Call = Callable[[], object]
QUICK = "--quick" in sys.argv
ROUNDS, SAMPLE = (3, 0.0005) if QUICK else (21, 0.004)
PAYLOAD = b'{"iss":"https://auth.example","sub":"alice","aud":"orders","exp":1900000000,"iat":1899999400}'


def signatures(alg: str) -> dict[str, tuple[Call, Call]]:
    """(sign, verify) of each library."""
    key = Key.generate(alg)
    token = jws.sign(key, PAYLOAD)
    cases: dict[str, tuple[Call, Call]] = {
        "Admit": (lambda: jws.sign(key, PAYLOAD), lambda: jws.verify(token, key)),
    }
    with suppress(Exception):  # it has no such algorithm
        from joserfc import jwk
        from joserfc import jws as theirs

        imported, header = jwk.import_key(plain(key)), {"alg": alg, "kid": key.kid}
        signed = theirs.serialize_compact(header, PAYLOAD, imported, [alg])
        cases["joserfc"] = (
            lambda: theirs.serialize_compact(header, PAYLOAD, imported, [alg]),
            lambda: theirs.deserialize_compact(signed, imported, [alg]),
        )
    with suppress(Exception):
        from jwcrypto import jwk as jwcrypto_jwk
        from jwcrypto import jws as jwcrypto_jws

        name = "EdDSA" if alg in ("Ed25519", "Ed448") else alg
        own, head = jwcrypto_jwk.JWK(**plain(key)), json.dumps({"alg": name, "kid": key.kid})

        def sign() -> str:
            made = jwcrypto_jws.JWS(PAYLOAD)
            made.allowed_algs = [name]
            made.add_signature(own, None, head, None)
            return str(made.serialize(compact=True))

        def verify(text: str) -> None:
            read = jwcrypto_jws.JWS()
            read.allowed_algs = [name]
            read.deserialize(text, own)

        once = sign()
        verify(once)
        cases["jwcrypto"] = (sign, lambda: verify(once))
    return cases


def encryption(alg: str, crv: str) -> dict[str, tuple[Call, Call]]:
    """(encrypt, decrypt) of each library, with A256GCM, or the key's own for `dir`."""
    password = KEY_MANAGEMENT[alg].from_password
    key = Key.from_secret(b"correct horse battery", alg) if password else Key.generate(alg, curve=crv or "P-256")
    enc = alg if KEY_MANAGEMENT[alg].alg == "dir" else "A256GCM"
    token, name = jwe.encrypt(key, PAYLOAD, enc=enc), KEY_MANAGEMENT[alg].alg
    cases: dict[str, tuple[Call, Call]] = {
        "Admit": (lambda: jwe.encrypt(key, PAYLOAD, enc=enc), lambda: jwe.decrypt(token, key)),
    }
    if password:  # 600,000 rounds, which jwcrypto does not read: the price is the rounds'
        return cases
    with suppress(Exception):
        from joserfc import jwe as theirs
        from joserfc import jwk

        imported, header = jwk.import_key(plain(key)), {"alg": name, "enc": enc, "kid": key.kid}
        theirs.decrypt_compact(token, imported, [name, enc])
        cases["joserfc"] = (
            lambda: theirs.encrypt_compact(header, PAYLOAD, imported, [name, enc]),
            lambda: theirs.decrypt_compact(token, imported, [name, enc]),
        )
    with suppress(Exception):
        from jwcrypto import jwe as jwcrypto_jwe
        from jwcrypto import jwk as jwcrypto_jwk

        own, head = jwcrypto_jwk.JWK(**plain(key)), json.dumps({"alg": name, "enc": enc, "kid": key.kid})

        def encrypt() -> str:
            made = jwcrypto_jwe.JWE(PAYLOAD, head, algs=[name, enc])
            made.add_recipient(own)
            return str(made.serialize(compact=True))

        def decrypt() -> None:
            jwcrypto_jwe.JWE(algs=[name, enc]).deserialize(token, own)

        encrypt()
        decrypt()
        cases["jwcrypto"] = (encrypt, decrypt)
    return cases


def plain(key: Key) -> dict[str, Any]:
    """The JWK without what binds it: the peers know fewer names of algorithms."""
    unwanted = {"use"} if key.algorithm.kty == "AKP" else {"alg", "use"}
    return {name: value for name, value in key.to_jwk(private=True).items() if name not in unwanted}


def hostile() -> dict[str, Call]:
    """Tokens that shall cost nothing."""
    key, aes = Key.generate("HS256"), Key.generate("A256KW")
    password = Key.from_secret(b"correct horse battery", "PBES2-HS256+A128KW")
    head, _, rest = jwe.encrypt(password, b"x").partition(".")
    counted = (
        b64url_encode(json_bytes(json.loads(b64url_decode(head.encode())) | {"p2c": 2**31 - 1})).decode() + "." + rest
    )
    slow = b64url_encode(json_bytes(json.loads(b64url_decode(head.encode())) | {"p2c": 1_200_000})).decode()
    cut = f"{slow}..{rest.partition('.')[2]}"
    curved, signing = Key.generate("ECDH-ES+A256KW", curve="P-521"), Key.generate("ES512")
    many = json.loads(jwe_json.encrypt_general([curved], b"x"))
    many["recipients"] *= 64
    signed_by_many = json.loads(jws_json.sign_general([signing], b"x")) | {"payload": "eQ"}
    signed_by_many["signatures"] *= 64
    crowd, signatures = json.dumps(many), json.dumps(signed_by_many)
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(100_000_000)) + packer.flush()

    def zipped() -> str:
        from admit.jose.content_encryption import content_encryption

        row, material = aes.sealing()
        content = content_encryption("A256GCM")
        cek, encrypted, _ = row.seal(row, material, content, None, {})
        protected = b64url_encode(json_bytes({"alg": "A256KW", "enc": "A256GCM", "zip": "DEF"}))
        ciphertext, tag = content.seal(content, cek, bytes(12), bomb, protected)
        return b".".join((protected, *map(b64url_encode, (encrypted, bytes(12), ciphertext, tag)))).decode()

    inflating = zipped()
    long, dots, brackets = "A" * 5_000_000, "." * 1_000_000, "[" * 100_000
    signed = {
        "nested brackets, 100,000": b"[" * 100_000,
        "nested brackets, 10,000": b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        "an integer of 5,000 digits": b'{"a":' + b"9" * 5000 + b"}",
    }
    cases: dict[str, Call] = {
        "5 MB": lambda: jws.verify(long, key),
        "5 MB, encrypted": lambda: jwe.decrypt(long, aes),
        "a million dots": lambda: jws.verify(dots, key),
        "a million dots, encrypted": lambda: jwe.decrypt(dots, aes),
        "100,000 brackets as a document": lambda: jws_json.verify(brackets, key),
        "100,000 brackets, encrypted": lambda: jwe_json.decrypt(brackets, aes),
        "p2c of 2^31-1": lambda: jwe.decrypt(counted, password),
        "p2c of 1.2 million, no wrapped key": lambda: jwe.decrypt(cut, password),
        "64 recipients of one P-521 key": lambda: jwe_json.decrypt(crowd, curved, limit=1_000_000),
        "64 signatures of one P-521 key": lambda: jws_json.verify(signatures, signing, need=1, limit=1_000_000),
        "a bomb of 100 MB": lambda: jwe.decrypt(inflating, aes, inflate=True, limit=1_000_000),
    }
    for name, header in signed.items():
        token = b64url_encode(header).decode() + ".e30.AAAA"
        cases[f"a header of {name}"] = lambda token=token: jws.verify(token, key, limit=1_000_000)  # type: ignore[misc]
    return cases


def measure(cases: dict[str, Call]) -> dict[str, float]:
    """Median microseconds of a call, interleaved."""
    counts: dict[str, int] = {}
    for name, call in cases.items():
        began = time.thread_time()
        call()
        counts[name] = max(1, int(SAMPLE / max(time.thread_time() - began, 1e-6)))
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(ROUNDS):
        for name in list(cases)[:: -1 if turn % 2 else 1]:
            began = time.thread_time()
            for _ in range(counts[name]):
                cases[name]()
            taken[name].append((time.thread_time() - began) / counts[name] * 1e6)
    return {name: statistics.median(each) for name, each in taken.items()}


def table(verbs: tuple[str, str], rows: dict[str, dict[str, tuple[Call, Call]]]) -> None:
    """A row for each algorithm: microseconds of each library."""
    columns = [f"{verb}, {name}" for verb in verbs for name in ("Admit", "joserfc", "jwcrypto")]
    print(f"\n| us | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for label, cases in rows.items():
        flat = {f"{verb}, {name}": call for name, pair in cases.items() for verb, call in zip(verbs, pair, strict=True)}
        found = measure(flat)
        print(f"| {label} | {' | '.join(f'{found[column]:,.1f}' if column in found else '' for column in columns)} |")


def refusals() -> None:
    """What each hostile token cost: the slowest of a few tries, and the most memory."""
    print("\n| refused | ms | kB |\n|---|---|---|")
    for name, call in hostile().items():
        times = []
        for _ in range(5):
            began = time.perf_counter()
            refused(call)
            times.append(time.perf_counter() - began)
        tracemalloc.start()
        refused(call)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"| {name} | {max(times) * 1000:.2f} | {peak / 1000:,.0f} |")


def refused(call: Call) -> None:
    """Run it, and insist that it was refused."""
    try:
        call()
    except AdmitError:
        return
    raise AssertionError("accepted")


def main() -> None:
    """Measure and print."""
    warnings.simplefilter("ignore")
    table(("sign", "verify"), {alg: signatures(alg) for alg in ALGORITHMS})
    rows = {}
    for alg, row in KEY_MANAGEMENT.items():
        for crv in ("P-256", "P-384", "P-521", "X25519", "X448") if row.crvs else ("",):
            rows[f"{'dir, ' if row.alg == 'dir' else ''}{alg}{f', {crv}' if crv else ''}"] = encryption(alg, crv)
    table(("encrypt", "decrypt"), rows)
    refusals()


if __name__ == "__main__":
    main()
