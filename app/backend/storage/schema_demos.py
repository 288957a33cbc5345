"""The tables of demos, as `schema` makes them. Invariant: what stands here ran somewhere, and is not changed."""

M006 = """
CREATE TABLE demos (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    setup TEXT NOT NULL,
    is_on INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL
);
CREATE INDEX demos_by_owner ON demos (owner);
CREATE TABLE demo_questions (
    id TEXT PRIMARY KEY,
    demo_id TEXT NOT NULL REFERENCES demos (id) ON DELETE CASCADE,
    visitor TEXT NOT NULL,
    question TEXT NOT NULL,
    conversation_id TEXT NOT NULL DEFAULT '',
    hidden INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL
);
CREATE INDEX demo_questions_by_demo ON demo_questions (demo_id, created_at);
CREATE INDEX demo_questions_by_visitor ON demo_questions (demo_id, visitor);
CREATE TABLE demo_answers (
    generation_id TEXT PRIMARY KEY REFERENCES generations (id) ON DELETE CASCADE,
    question_id TEXT NOT NULL REFERENCES demo_questions (id) ON DELETE CASCADE,
    position INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX demo_answers_by_question ON demo_answers (question_id)
"""

M010_DEMOS = """
CREATE TABLE demo_networks (
    demo_id TEXT NOT NULL REFERENCES demos (id) ON DELETE CASCADE,
    network TEXT NOT NULL,
    day TEXT NOT NULL,
    asked INTEGER NOT NULL,
    PRIMARY KEY (demo_id, network)
) WITHOUT ROWID
"""
