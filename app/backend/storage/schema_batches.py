"""The tables of batches, as `schema` makes them. Invariant: what stands here ran somewhere, and is not changed."""

M008 = """
CREATE TABLE batches (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    sides TEXT NOT NULL,
    seed INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'stopped')),
    trouble TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    finished_at TEXT
);
CREATE INDEX batches_by_owner ON batches (owner, created_at);
CREATE INDEX batches_running ON batches (state) WHERE state = 'running';
ALTER TABLE conversations ADD COLUMN batch_id TEXT REFERENCES batches (id) ON DELETE CASCADE;
CREATE INDEX conversations_by_batch ON conversations (batch_id) WHERE batch_id IS NOT NULL;
CREATE TABLE batch_items (
    batch_id TEXT NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    question TEXT NOT NULL,
    golden_answers TEXT NOT NULL,
    comparison_id TEXT REFERENCES conversations (id) ON DELETE SET NULL,
    PRIMARY KEY (batch_id, position)
) WITHOUT ROWID;
CREATE INDEX batch_items_by_comparison ON batch_items (comparison_id);
CREATE TABLE batch_answers (
    batch_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    side INTEGER NOT NULL,
    generation_id TEXT NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
    PRIMARY KEY (batch_id, position, side),
    FOREIGN KEY (batch_id, position) REFERENCES batch_items (batch_id, position) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX batch_answers_by_generation ON batch_answers (generation_id)
"""

M010_BATCHES = "ALTER TABLE batches ADD COLUMN network TEXT NOT NULL DEFAULT ''"

M013 = """
ALTER TABLE batches ADD COLUMN judged INTEGER NOT NULL DEFAULT 0;
CREATE TABLE judgements (
    batch_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    left_side INTEGER NOT NULL,
    right_side INTEGER NOT NULL,
    outcome REAL,
    model TEXT NOT NULL,
    corpus TEXT NOT NULL,
    language TEXT NOT NULL,
    created_at TEXT NOT NULL,
    left_generation_id TEXT NOT NULL,
    left_contender TEXT NOT NULL,
    left_chars INTEGER NOT NULL,
    left_citations INTEGER NOT NULL,
    left_total_ms REAL NOT NULL,
    right_generation_id TEXT NOT NULL,
    right_contender TEXT NOT NULL,
    right_chars INTEGER NOT NULL,
    right_citations INTEGER NOT NULL,
    right_total_ms REAL NOT NULL,
    PRIMARY KEY (batch_id, position, left_side, right_side),
    FOREIGN KEY (batch_id, position) REFERENCES batch_items (batch_id, position) ON DELETE CASCADE
) WITHOUT ROWID
"""
