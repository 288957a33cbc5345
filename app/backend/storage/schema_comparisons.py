"""The tables of comparisons and votes, as `schema` makes them. Invariant: what stands here ran somewhere: it stays."""

M004 = """
ALTER TABLE conversations ADD COLUMN kind TEXT NOT NULL DEFAULT 'chat' CHECK (kind IN ('chat', 'comparison'));
CREATE TABLE comparisons (
    id TEXT PRIMARY KEY REFERENCES conversations (id) ON DELETE CASCADE,
    blind INTEGER NOT NULL DEFAULT 0,
    revealed INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE comparison_columns (
    comparison_id TEXT NOT NULL REFERENCES comparisons (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    generation_id TEXT NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    PRIMARY KEY (comparison_id, position)
) WITHOUT ROWID;
CREATE INDEX comparison_columns_by_generation ON comparison_columns (generation_id);
CREATE TABLE votes (
    id TEXT PRIMARY KEY,
    comparison_id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    winner TEXT NOT NULL CHECK (winner IN ('a', 'b', 'c', 'd', 'tie', 'both_bad')),
    tags TEXT NOT NULL DEFAULT '[]',
    comment TEXT NOT NULL DEFAULT '',
    judge TEXT NOT NULL DEFAULT 'human' CHECK (judge IN ('human', 'model')),
    counted INTEGER NOT NULL DEFAULT 1,
    why_not TEXT NOT NULL DEFAULT '',
    question TEXT NOT NULL,
    corpus TEXT NOT NULL,
    language TEXT NOT NULL DEFAULT '',
    blind INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL
);
CREATE INDEX votes_by_owner ON votes (owner, created_at);
CREATE TABLE vote_sides (
    vote_id TEXT NOT NULL REFERENCES votes (id) ON DELETE CASCADE,
    letter TEXT NOT NULL,
    contender TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    corpus TEXT NOT NULL,
    params TEXT NOT NULL,
    model TEXT NOT NULL,
    chars INTEGER NOT NULL,
    citations INTEGER NOT NULL,
    total_ms REAL NOT NULL,
    generation_id TEXT NOT NULL,
    PRIMARY KEY (vote_id, letter)
) WITHOUT ROWID
"""

M009 = "ALTER TABLE comparisons ADD COLUMN copied INTEGER NOT NULL DEFAULT 0"

M011 = """
UPDATE comparisons SET copied = 1 WHERE id IN (
    SELECT t.conversation_id FROM turns t JOIN generations g ON g.turn_id = t.id
    WHERE g.status IN ('done', 'stopped') AND g.answer <> ''
    AND NOT EXISTS (SELECT 1 FROM events e WHERE e.generation_id = g.id AND e.kind = 'started')
);
UPDATE votes SET counted = 0, why_not = 'These answers were copied from a link, and a vote on them does not count.'
WHERE counted AND comparison_id IN (SELECT id FROM comparisons WHERE copied)
"""
"""Marks the copies that were made before there was a mark: an answer that was written here has begun in its log. A copy
without a single answer, or deleted for good before its vote was looked at, cannot be told from others any more.
"""
