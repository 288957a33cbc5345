"""The tables, as migrations: numbered functions that run once, each in one transaction with the record of it.

conversations   one per chat or comparison (kind): owner, title, pinned, deleted_at while it can still be brought back,
                copied when it began behind a link
turns           one per question; parent_id makes the conversation a tree (editing a question makes a sibling)
generations     one per answer to a turn: pipeline, corpus, params, engine ('' is the main one), model, status, answer,
                error, token counts, milliseconds of all engine calls
timings         milliseconds per stage of a generation; "ttft" to the first token and "total" count from the question
passages        what was retrieved for a generation, numbered as it is cited
citations       which sentence of the answer rests on which passage, and who said so
events          the numbered log of a generation, exactly as it was streamed
settings        the server's settings a generation ran under, secrets masked
search          full text over questions and answers (FTS5, trigrams, so Chinese works too)
accounts        one per person: name, role, argon2 hash of the password, disabled_at while locked out
sessions        who is logged in where, by the hash of a random token
api_keys        keys of programs, by their hash; revoking one deletes it
invitations     one-time codes, by their hash: to make an account, or to set the password of one (account_id)
bans            owners who are shut out without an account: guests
quotas          what one owner may have, where it is not what others of the same role may
audit           one line for everything an operator did or looked at; can be added to and nothing else
comparisons     one per conversation of kind comparison; blind, revealed once the vote is there; copied from a link
comparison_columns  which answer of its turn stands in which column, from the left
votes           one per comparison, with all that ratings need: it stays when the conversation goes
vote_sides      what a vote was about: one line a column
shares          links to a snapshot of a conversation or comparison: the hash of each token, the snapshot, its views
demos           published set-ups that whoever has the link may use: a name, what it asks with, whether it is on
demo_questions  what the visitors of a demo asked, and who of them (128 random bits, no person)
demo_answers    which answers a visitor's question got, in the order of the demo's sides
demo_networks   how often visitors of each network asked a demo today; of yesterday nothing is left
batches         the same comparison over many questions; its sides, whether it runs, and from which network a guest's
batch_items     one per question of a batch: its right answers, and its comparison (whose conversation has a batch_id)
batch_answers   which answer each side gave to it, whatever was made of its comparison since
judgements      what a model said of two answers of a batch, with all that ratings need
networks        how often guests of each network asked today, and votes that count; of yesterday nothing is left
drain           one line while no new questions are taken: since when, and by whom
consents        owners whose conversations may be given to research, without their name
log             a view for people: one line a generation, question beside answer
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from app.backend.storage.schema_batches import M008, M010_BATCHES, M013
from app.backend.storage.schema_comparisons import M004, M009, M011
from app.backend.storage.schema_demos import M006, M010_DEMOS
from app.backend.storage.schema_generations import M001, M012
from app.backend.storage.schema_shares import M005, M015

migrations = Migrations("colloquy")


@migrations()  # type: ignore[untyped-decorator]
def m001_conversations_and_generations(db: Database) -> None:
    for statement in M001.split(";\n"):
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def m002_accounts(db: Database) -> None:
    for statement in _M002.split(";\n"):
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def m003_audit(db: Database) -> None:
    for statement in _M003.split(";;\n"):
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def m004_comparisons(db: Database) -> None:
    for statement in M004.split(";\n"):
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def m005_shares(db: Database) -> None:
    for statement in M005.split(";\n"):
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def m006_demos(db: Database) -> None:
    for statement in M006.split(";\n"):
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def m007_what_a_restart_keeps(db: Database) -> None:
    for statement in _M007.split(";\n"):
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def m008_batches(db: Database) -> None:
    for statement in M008.split(";\n"):
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def m009_copied_comparisons(db: Database) -> None:
    db.execute(M009)


@migrations()  # type: ignore[untyped-decorator]
def m010_networks(db: Database) -> None:
    db.execute(M010_BATCHES)
    db.execute(M010_DEMOS)


@migrations()  # type: ignore[untyped-decorator]
def m011_old_copies(db: Database) -> None:
    for statement in M011.split(";\n"):
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def m012_engines(db: Database) -> None:
    for statement in M012.split(";\n"):
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def m013_judgements(db: Database) -> None:
    for statement in M013.split(";\n"):
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def m014_votes_of_networks(db: Database) -> None:
    db.execute("ALTER TABLE networks ADD COLUMN voted INTEGER NOT NULL DEFAULT 0")


@migrations()  # type: ignore[untyped-decorator]
def m015_copied_conversations(db: Database) -> None:
    for statement in M015.split(";\n"):
        db.execute(statement)


_M002 = """
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('user', 'admin')),
    password TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    disabled_at TEXT
);
CREATE TABLE sessions (
    token_hash TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_account ON sessions (account_id);
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    key_hash TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    hint TEXT NOT NULL,
    created_at TEXT NOT NULL,
    last_used_at TEXT
);
CREATE INDEX api_keys_by_account ON api_keys (account_id);
CREATE TABLE invitations (
    code_hash TEXT PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('user', 'admin')),
    account_id TEXT REFERENCES accounts (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE bans (
    owner TEXT PRIMARY KEY,
    created_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE quotas (
    owner TEXT PRIMARY KEY,
    quota TEXT NOT NULL
) WITHOUT ROWID
"""

_M003 = """
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    operator TEXT NOT NULL,
    deed TEXT NOT NULL,
    subject TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT ''
);;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is kept'); END;;
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is kept'); END
"""

_M007 = """
CREATE TABLE networks (
    network TEXT PRIMARY KEY,
    day TEXT NOT NULL,
    asked INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE drain (
    since TEXT NOT NULL,
    operator TEXT NOT NULL
)
"""
