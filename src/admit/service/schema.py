"""The tables. Times are integer milliseconds of the database's clock; text ids compare byte by byte."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData()

# A linguistic collation could take two ids for one; SQLite's default (BINARY) never does.
Id: Final = Text().with_variant(Text(collation="C"), "postgresql")
Serial: Final = BigInteger().with_variant(Integer(), "sqlite")

users: Final = Table(
    "admit_users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Id, unique=True),  # normalized; NULL for a user of the application's own table
    Column("password_hash", Text),
    Column("epoch", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
)

clients: Final = Table(
    "admit_clients",
    metadata,
    Column("id", Id, primary_key=True),
    Column("secret_hash", LargeBinary),  # NULL for a public client, and for one with keys
    Column("previous_hash", LargeBinary),  # of the secret before, accepted until then
    Column("previous_until", BigInteger),
    Column("jwks", Text),  # the public keys of a client that authenticates by private_key_jwt
    Column("grants", Text, nullable=False),
    Column("audiences", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("policy", Text),  # a SessionPolicy as JSON; NULL: the service's
    Column("disabled_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
)

sessions: Final = Table(
    "admit_sessions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("admit_users.id"), nullable=False),
    Column("client_id", Id, nullable=False),  # the built-in client has no row
    Column("audience", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("previous", LargeBinary),
    Column("successor", LargeBinary),
    Column("seen", Boolean, nullable=False),  # the current token was presented
    Column("rotated_at", BigInteger, nullable=False),  # 0: never yet
    Column("used_at", BigInteger, nullable=False),
    Column("idle_until", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("auth_time", BigInteger, nullable=False),
    Column("auth_method", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("ended_at", BigInteger),
    Column("end_reason", Text),
    Column("status_idx", BigInteger),  # its place in the status lists, list after list; NULL without them
    Index("admit_sessions_user", "user_id"),
    Index("admit_sessions_idle", "idle_until"),
    Index("admit_sessions_status", "status_idx", unique=True),
)
Index(
    "admit_sessions_sealed",
    sessions.c.rotated_at,
    sqlite_where=sessions.c.successor.is_not(None),
    postgresql_where=sessions.c.successor.is_not(None),
)

devices: Final = Table(
    "admit_devices",
    metadata,
    Column("id", Id, primary_key=True),  # a digest of the user and the device's description
    Column("user_id", Id, ForeignKey("admit_users.id"), nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Index("admit_devices_user", "user_id"),
    Index("admit_devices_seen", "seen_at"),
)

throttle: Final = Table(
    "admit_throttle",
    metadata,
    Column("id", Id, primary_key=True),  # a keyed hash: neither a name nor an address can be read from it
    Column("failures", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),  # 0: never waited
    Column("expires_at", BigInteger, nullable=False),
    Index("admit_throttle_expires", "expires_at"),
)

totp: Final = Table(
    "admit_totp",
    metadata,
    Column("user_id", Id, ForeignKey("admit_users.id"), primary_key=True),
    Column("seed", LargeBinary, nullable=False),  # wrapped
    Column("step", BigInteger, nullable=False),  # the newest that was used up
    Column("created_at", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger),  # NULL: not asked for yet
)

recovery_codes: Final = Table(
    "admit_recovery_codes",
    metadata,
    Column("id", Id, primary_key=True),  # a digest of the user and the code
    Column("user_id", Id, ForeignKey("admit_users.id"), nullable=False),
    Index("admit_recovery_codes_user", "user_id"),
)

revocations: Final = Table(
    "admit_revocations",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("exp", BigInteger),  # in seconds, as in the feed; NULL: never
    Column("epoch", BigInteger),  # for a subject: tokens with a lower one
    Index("admit_revocations_exp", "exp"),
)

feed: Final = Table(
    "admit_feed",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row
    Column("epoch", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("keys_version", BigInteger, nullable=False),  # moves with every change of a key
    Column("longest_life", BigInteger, nullable=False),  # the longest access-token life ever configured
)

keys: Final = Table(
    "admit_keys",
    metadata,
    Column("kid", Id, primary_key=True),
    Column("use", Text, nullable=False),
    Column("alg", Text, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("public", Text, nullable=False),  # the JWK
    Column("private", LargeBinary),  # the private JWK, wrapped; NULL once it no longer signs
    Column("created_at", BigInteger, nullable=False),
    Column("active_at", BigInteger),
    Column("retiring_at", BigInteger),
    Column("ended_at", BigInteger),
    UniqueConstraint("use", "alg", "ordinal", name="admit_keys_ordinal"),
)

assertions: Final = Table(
    "admit_assertions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # of the client's id and the jti of an assertion it has used
    Column("exp", BigInteger, nullable=False),
    Index("admit_assertions_exp", "exp"),
)

secrets: Final = Table(
    "admit_secrets",
    metadata,
    Column("kind", Id, primary_key=True),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

audit: Final = Table(
    "admit_audit",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("sub", Id),
    Column("client_id", Id),
    Column("session_id", Id),
    Column("address", Text),
    Column("detail", Text),
    Index("admit_audit_at", "at"),
    Index("admit_audit_sub", "sub", "id"),
)
