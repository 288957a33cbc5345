"""The tables of share links, as `schema` makes them. Invariant: what stands here ran somewhere, and is not changed."""

M005 = """
ALTER TABLE generations ADD COLUMN corpus_version TEXT NOT NULL DEFAULT '';
ALTER TABLE generations ADD COLUMN seed INTEGER;
CREATE TABLE shares (
    id TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    owner TEXT NOT NULL,
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('chat', 'comparison')),
    snapshot TEXT NOT NULL,
    live TEXT NOT NULL DEFAULT '{}',
    views INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    expires_at TEXT
);
CREATE INDEX shares_by_owner ON shares (owner, created_at);
CREATE INDEX shares_by_conversation ON shares (conversation_id);
CREATE TABLE consents (
    owner TEXT PRIMARY KEY,
    created_at TEXT NOT NULL
) WITHOUT ROWID
"""
