-- A generation is one set of rows with its checkpoint. At most one is active, and at most one other is being built.
-- Ids are never given twice, so that rows of a generation that was given up are never taken for a new one's.
CREATE TABLE generations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  active INTEGER NOT NULL CHECK (active IN (0, 1)),
  schema INTEGER NOT NULL,
  -- Positions are 64 bits wide and are compared by the program, not here.
  position TEXT,
  proof TEXT
) STRICT;

CREATE UNIQUE INDEX one_active ON generations (active) WHERE active = 1;

-- status: 0 not in sync, 1 in sync, 2 broken, 3 deleted.
CREATE TABLE devices (
  generation INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  version INTEGER NOT NULL,
  status INTEGER NOT NULL,
  last_reported INTEGER,
  last_desired INTEGER,
  since INTEGER NOT NULL,
  since_version INTEGER NOT NULL,
  prior_since INTEGER NOT NULL,
  outstanding INTEGER NOT NULL,
  broken TEXT,
  replica TEXT NOT NULL,
  PRIMARY KEY (generation, device_id)
) STRICT;

CREATE INDEX devices_by_status ON devices (generation, status, device_id);
