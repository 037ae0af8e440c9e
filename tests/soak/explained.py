"""Mutants that no test notices, and why none should. `make mutate` counts them as explained, and fails where a test notices one.

A mutant is named by the function it changed and the line it has there, or, after `without`, the line that it lacks.
"""

from __future__ import annotations

from typing import Final

WORDS: Final = "only what the error says: the same error follows"
ROUND: Final = "the limit is a round number, and no rule is about the one beside it"
DECODED: Final = "the alphabet and the exact size are looked at once more when it is decoded; this saves the work"
SPEED: Final = (
    "how many threads share the work, which test_batch looks at by a test with threads; the answers are the same"
)
SAVED: Final = "marks that save looking into the tables, which decide"
MEMORY: Final = "twice the memory, which a test measures that is left out here"
UNUSED: Final = "where there are no epochs, nobody looks at this number"

EXPLAINED: Final[dict[str, dict[str, str]]] = {
    "jose.agreement._party": {
        "if not isinstance(value, str) or len(value) > MAX_PARTY * 4 / 3 + 1 or not value.isascii():": (
            "a length is whole: over 683 and over 683.67 are one"
        ),
    },
    "jose.algorithms._ecdsa_checker": {
        "if not (zero < r <= order and zero < s < order):  # fixed width: bytes compare as numbers do": (
            "the primitive refuses the order itself, too"
        ),
        "if not (zero < r < order and zero < s <= order):  # fixed width: bytes compare as numbers do": (
            "the primitive refuses the order itself, too"
        ),
    },
    "jose.content_encryption.content_encryption": {
        """f"no content encryption is called {shown(name, 21)}; there are {', '.join(CONTENT_ENCRYPTION)}\"""": WORDS,
    },
    "jose.encoding.json_object": {
        'without raise MalformedToken("not strict JSON in UTF-8")': WORDS,
    },
    "jose.key_management._password_seal": {
        "salt = clock.random_bytes(17)": "a byte more of salt is not weaker",
    },
    "jose.key_management._member": {
        "if not isinstance(value, str) or len(value) > most * 2 and not value.isascii():": DECODED,
        "if not isinstance(value, str) or len(value) >= most * 2 or not value.isascii():": DECODED,
        "if not isinstance(value, str) or len(value) > most * 3 or not value.isascii():": DECODED,
    },
    "jose.keys.Key.__hash__": {
        "return hash(self._identity()[:3])": "equal keys have the same half, too",
    },
    "jose.keyset.KeySet.from_jwks": {
        """raise InvalidKey("the JWK Set holds no usable key: " + ("; ".join(problems[:6]) or "it is empty"))""": WORDS,
    },
    "jose.pem.looks_like_key_material": {
        'candidates = [data] if (data[:1] == b"\\x30") or True else []': "no DER of a key begins otherwise; this saves the work",
    },
    "jose.jws_json.verify": {
        "if max(tried.values(), default=1) > MAX_TRIES:": "one is under the limit as well as none",
    },
    "jose.pem._refuse_slow": {
        "if not any(oid in document[:33] for oid in _PBE):": ROUND,
        "work = 1 if found else MAX_WORK + 2": "over the limit, too",
    },
    "jose.pem._refuse_another_scheme": {
        "numbers = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)[5:]  # a private key holds them, too": (
            "the numbers but for their first byte, which is a tag"
        ),
    },
    "jose.strength._factors_are_close": {
        "a = isqrt(n - 2) + 1": "one step fewer, where n - 1 is a square",
    },
    "jose.jwe._split": {
        'parts = data.split(b".", 6)': "the cap on pieces is one higher; still five of them pass",
    },
    "jose.jwe._inflate": {
        "plaintext: bytes = unpacker.decompress(data, MAX_INFLATED + 2)": "one byte more is inflated, and refused as well",
    },
    "jose.key_management.key_management": {
        """f"no key management is called {shown(name, 21)}; there are {', '.join(KEY_MANAGEMENT)}\"""": WORDS,
    },
    "jose.keys.Key.generate": {
        'def (cls, alg: str, *, kid: str | None = None, bits: int = 2049, curve: str = "P-256") -> Key:': (
            "the library makes 2048 bits of it: an even number"
        ),
    },
    "tokens.batch.verify_many": {
        "pays = _SHARED.isdisjoint(verifier.key_types)": SPEED,
        "count = max(1, min(threads or _cores(), len(waiting) // _SHARE)) if (pays) and False else 1": SPEED,
        "count = max(1, min(threads or _cores(), len(waiting) // _SHARE)) if (pays) or True else 1": SPEED,
        "count = max(1, min(threads or _cores(), len(waiting) // _SHARE)) if pays else 2": SPEED,
    },
    "tokens.batch._cores": {
        "return os.cpu_count() and 1": SPEED,
        "return os.cpu_count() or 2": SPEED,
    },
    "tokens.cookies.Cookies.must_be_own_page": {
        'raise ForeignOrigin(self._advice("the origin " + ", ".join(shown(one, 201) for one in came)))': WORDS,
    },
    "tokens.kinds.Kind.check_audience": {
        'raise ConfigurationError(f"tokens of {shown(issuer, 201)} have the audience {shown(only)} and no other")': WORDS,
    },
    "tokens.kinds.Kind._match": {
        'f"{shown(issuer, 201)} is no issuer of kind {self.name!r}, whose issuers look like {self.issuer};"': WORDS,
    },
    "tokens.lint.refuse_secrets": {
        "if value.bit_length() >= _INTEGER_BITS:  # type: ignore[attr-defined]": "_look_into judges it exactly",
    },
    "tokens.origin.parse_origins": {
        """f"{name}: {shown(origin, 201)} is no origin as browsers send it: scheme, host in lower case and ASCII, the\"""": WORDS,
        """raise ConfigurationError(f"{name}: {shown(origin, 201)} is plain http, which only loopback may be")""": WORDS,
    },
    "tokens.presented.token_of": {
        'raise missing and MissingToken("no Authorization header")': WORDS,
    },
    "tokens.revocation.digest": {
        'hashed = hashlib.sha256(kind.encode() + b"\\0" + raw, usedforsecurity=True).digest()': (
            "the same hash, wherever it may be used"
        ),
    },
    "tokens.several.Verifiers.__init__": {
        "self._max_token = 1": "no verifier reads less",
        'f"two verifiers expect the issuer {shown(issuer, 201)}: one of them would never be asked"': WORDS,
    },
    "tokens.several.Verifiers.for_token": {
        'expected = " or ".join(shown(one, 201) for one in sorted(self._by_issuer))': WORDS,
        """raise WrongIssuer(f"iss is {'missing' if issuer is None else shown(issuer, 201)}, expected {expected}")""": WORDS,
    },
    "tokens.several.Verifiers.__repr__": {
        """return f"<Verifiers of {', '.join(shown(issuer, 201) for issuer in sorted(self._by_issuer))}>\"""": WORDS,
    },
    "tokens.signer.Signer.__init__": {
        "self._needed = itemgetter(*always[:3], *kind.required.difference(always))  # at least two: a tuple": (
            "iat is always there, and asked for once more"
        ),
    },
    "tokens.signer.Signer.sign": {
        "exp = now + int(self._lifetime * (1 - self._jitter * clocks.jitter()) if (self._jitter) or True else self._lifetime)": (
            "a jitter of 0 shortens by 0"
        ),
    },
    "tokens.signer.Signer._check": {
        'without raise RefusedClaims("the claims hold a name that JSON in UTF-8 cannot say") from None': WORDS,
    },
    "tokens.verdict.failures": {
        "if not any(type(error) is type(first) or error.args == first.args for error in found):": (
            "no error has the words of an error of another type"
        ),
    },
    "tokens.verdict._broken": {
        "raw = raw | {error.claim: False}": "what counts is that the claim is there",
    },
    "tokens.verifier.Verifier.__init__": {
        "self._registered = kind.registered if (kind.names) or True else None": "the same claims, copied",
    },
    "tokens.status_list.token_limit": {
        "return limit * 17 // 9 + 4096": ROUND,
        "return limit * 16 // 9 + 4097": ROUND,
    },
    "tokens.status_list._inflate": {
        "found = unpacker.decompress(data, limit + 2)": "one byte more is inflated, and refused as well",
    },
    "tokens.revocation_set.RevocationSet.__init__": {
        "self._window = (inf, +inf) if stale else (-inf, inf)": "no moment comes after its beginning",
        "self._ends = dict.fromkeys(KINDS, -2)  # the minute in which the last entry of each kind ends": SAVED,
    },
    "tokens.revocation_set.RevocationSet.judge": {
        'without force_setattr(claims, "_passed", passed)': SAVED,
    },
    "tokens.revocation_set.RevocationSet.purge": {
        "later = minute - _SPAN if minute >= 2 * _SPAN else 0": "minutes are counted anew a minute sooner",
        "if self._others.purge(minute, later) - self._subjects.purge(minute, later):": SAVED,
        "self._ends[kind] = -2 if ends < minute else ends - later if ends < NEVER else NEVER": SAVED,
        "self._ends[kind] = -1 if ends < minute else ends - later if (ends < NEVER) and False else NEVER": SAVED,
        "self._ends[kind] = -1 if ends < minute else ends + later if ends < NEVER else NEVER": SAVED,
    },
    "tokens.revocation_set.RevocationSet._minute": {
        "return min(max(exp // 60 + 1 - self._begin, 1), NEVER)": "what ended long ago is kept a minute longer",
    },
    "tokens.revocation_table.RevocationTable.__init__": {
        "def (self, *, epochs: bool = True) -> None:": MEMORY,
        "widths = _WIDTHS if (epochs) or True else _WIDTHS[:2]": MEMORY,
        "self._held = _room((2 << _SHARED) + 1, 4), tuple(_room(0, width) for width in widths)": MEMORY,
        "self._held = _room((1 << _SHARED) + 2, 4), tuple(_room(0, width) for width in widths)": MEMORY,
    },
    "tokens.revocation_table.RevocationTable.epoch": {
        "return None if found is None else 1 if len(columns) == 2 else columns[3][found]": UNUSED,
    },
    "tokens.revocation_table.RevocationTable.add": {
        "wide = len(columns) > 3": "there are two columns or four",
        "held = _place(hashed), _more(hashed) if (wide) or True else 0": "two values of the same 44 bits are held twice",
        "held = _place(hashed), _more(hashed) if wide else 1": UNUSED,
        "ends, highest = newest.get(held, (1, 0))": "what ended long ago is kept a minute longer",
        "epoch = max(epoch, columns[3][found]) if wide else 1": UNUSED,
    },
    "tokens.revocation_table.RevocationTable.purge": {
        "if alive <= len(minutes) or later:": "a copy of what stays as it is",
        "for column, target in zip(columns, kept, strict=False):": "there are as many of both",
        "return len(minutes) + alive": SAVED,
    },
    "tokens.revocation_table._room": {
        "mapped = memoryview(mmap.mmap(+1, count * width, **_OWN) if count else bytearray())": "anonymous memory has no file",
        'return mapped.cast("I") if (width == 4) or True else mapped.cast("H")': MEMORY,
    },
    "tokens.verifier.Verifier.verify": {
        "not since < now < until": "one moment more is judged by the set, which believes it",
    },
}
