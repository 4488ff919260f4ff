-- Which devices are connected, or were: of no generation, since no event says it. Exactly one of the two times is there.
CREATE TABLE presence (
  device TEXT PRIMARY KEY,
  connected_since INTEGER,
  disconnected_since INTEGER,
  -- The connection that it is of: the one that began last. Of those that began at once, the one with the greater name.
  opened_at INTEGER NOT NULL,
  connection TEXT NOT NULL,
  -- Null: told by the device on its topic. So is the instance, whose end does not end the connection then.
  client_id TEXT,
  instance TEXT,
  ended TEXT,
  will INTEGER NOT NULL,
  CHECK ((connected_since IS NULL) <> (disconnected_since IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX presence_by_connected ON presence (connected_since) WHERE connected_since IS NOT NULL;
CREATE INDEX presence_by_disconnected ON presence (disconnected_since) WHERE disconnected_since IS NOT NULL;

-- When each instance wrote last.
CREATE TABLE presence_instances (
  instance TEXT PRIMARY KEY,
  seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
