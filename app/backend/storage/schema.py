"""The tables, as migrations: numbered functions that run once, each in one transaction with the record of it.

conversations   one per chat or comparison (kind): owner, title, pinned, deleted_at while it can still be brought back
turns           one per question; parent_id makes the conversation a tree (editing a question makes a sibling)
generations     one per answer to a turn: pipeline, corpus, params, model, status, answer, error, token counts
timings         milliseconds per stage of a generation
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
networks        how often guests of each network asked today; of yesterday nothing is left
drain           one line while no new questions are taken: since when, and by whom
consents        owners whose conversations may be given to research, without their name
log             a view for people: one line a generation, question beside answer
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from app.backend.storage.schema_batches import M008, M010_BATCHES
from app.backend.storage.schema_comparisons import M004, M009, M011
from app.backend.storage.schema_demos import M006, M010_DEMOS
from app.backend.storage.schema_shares import M005

migrations = Migrations("colloquy")


@migrations()  # type: ignore[untyped-decorator]
def m001_conversations_and_generations(db: Database) -> None:
    for statement in _M001.split(";\n"):
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


_M001 = """
CREATE TABLE conversations (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    title TEXT NOT NULL DEFAULT '',
    pinned INTEGER NOT NULL DEFAULT 0,
    leaf_id TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    deleted_at TEXT
);
CREATE INDEX conversations_by_owner ON conversations (owner, updated_at);
CREATE TABLE turns (
    id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    parent_id TEXT REFERENCES turns (id) ON DELETE CASCADE,
    question TEXT NOT NULL,
    chosen_id TEXT,
    created_at TEXT NOT NULL
);
CREATE INDEX turns_by_conversation ON turns (conversation_id);
CREATE INDEX turns_by_parent ON turns (parent_id);
CREATE TABLE settings (
    id TEXT PRIMARY KEY,
    settings TEXT NOT NULL,
    first_used_at TEXT NOT NULL
);
CREATE TABLE generations (
    id TEXT PRIMARY KEY,
    turn_id TEXT NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    pipeline TEXT NOT NULL,
    corpus TEXT NOT NULL,
    params TEXT NOT NULL,
    model TEXT NOT NULL,
    settings_id TEXT NOT NULL REFERENCES settings (id),
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'stopped', 'failed', 'interrupted')),
    search_query TEXT NOT NULL DEFAULT '',
    answer TEXT NOT NULL DEFAULT '',
    error_code TEXT NOT NULL DEFAULT '',
    error_message TEXT NOT NULL DEFAULT '',
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0,
    engine_calls INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT
);
CREATE INDEX generations_by_turn ON generations (turn_id);
CREATE INDEX generations_live ON generations (status) WHERE status IN ('queued', 'running');
CREATE TABLE timings (
    generation_id TEXT NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    ms REAL NOT NULL,
    PRIMARY KEY (generation_id, stage)
) WITHOUT ROWID;
CREATE TABLE passages (
    generation_id TEXT NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    passage_id TEXT NOT NULL,
    corpus TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    score REAL NOT NULL,
    PRIMARY KEY (generation_id, n)
) WITHOUT ROWID;
CREATE TABLE citations (
    generation_id TEXT NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    n INTEGER NOT NULL,
    passage_id TEXT NOT NULL,
    cited_by TEXT NOT NULL CHECK (cited_by IN ('model', 'alignment')),
    sentence_start INTEGER NOT NULL,
    sentence_end INTEGER NOT NULL,
    spans TEXT NOT NULL,
    PRIMARY KEY (generation_id, position)
) WITHOUT ROWID;
CREATE TABLE events (
    generation_id TEXT NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    at_ms REAL NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (generation_id, seq)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE search USING fts5 (
    text, conversation_id UNINDEXED, turn_id UNINDEXED, tokenize = 'trigram'
);
CREATE VIEW log AS
SELECT g.created_at, c.owner, c.title, t.question, g.answer, g.status, g.pipeline, g.corpus, g.model, g.params,
    g.prompt_tokens, g.cached_tokens, g.completion_tokens, g.error_message,
    (SELECT group_concat(stage || ' ' || CAST(ms AS INTEGER) || ' ms', ', ') FROM timings WHERE generation_id = g.id)
        AS timings,
    (SELECT group_concat('[' || n || '] ' || title, ', ') FROM passages WHERE generation_id = g.id) AS passages,
    g.id AS generation_id, t.id AS turn_id, c.id AS conversation_id
FROM generations g JOIN turns t ON t.id = g.turn_id JOIN conversations c ON c.id = t.conversation_id
"""

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
