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

M015 = """
ALTER TABLE conversations ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;
UPDATE conversations SET copied = 1 WHERE id IN (
    SELECT t.conversation_id FROM turns t JOIN generations g ON g.turn_id = t.id
    WHERE g.status IN ('done', 'stopped') AND g.answer <> ''
    AND NOT EXISTS (SELECT 1 FROM events e WHERE e.generation_id = g.id AND e.kind = 'started')
)
"""
"""Old copies are told as by M011; what was run again from a link as its first question cannot be told any more."""
