"""The tables of conversations and answers, as `schema` makes them. Invariant: what stands here ran somewhere."""

M001 = """
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

M012 = """
ALTER TABLE generations ADD COLUMN engine TEXT NOT NULL DEFAULT '';
ALTER TABLE generations ADD COLUMN engine_ms REAL NOT NULL DEFAULT 0;
UPDATE generations SET engine_ms = ifnull((SELECT sum(ms) FROM timings
    WHERE generation_id = generations.id AND stage NOT IN ('queue', 'retrieve', 'cite', 'ttft', 'total')), 0)
"""
"""Before, the cost of an answer was guessed from its stages; that stays for the old ones."""
