-- How many of these files were run. A program that knows fewer does not use the tables.
CREATE TABLE replica_schema (version integer NOT NULL);
INSERT INTO replica_schema VALUES (0);

-- A generation is one set of rows with its checkpoint. status: 0 it is being built, 1 it is what readers see, 2 it was
-- given up, and goes when its rows have gone. Ids are never given twice.
CREATE TABLE replica_generations (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  status smallint NOT NULL CHECK (status IN (0, 1, 2)),
  schema integer NOT NULL,
  -- Positions are whole numbers of up to 64 bits without a sign.
  position numeric(20),
  proof text
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX replica_one_active ON replica_generations (status) WHERE status = 1;
CREATE UNIQUE INDEX replica_one_building ON replica_generations (status) WHERE status = 0;

-- Device ids are ordered by their bytes, whatever the order of the database is.
-- status: 0 not in sync, 1 in sync, 2 broken, 3 deleted.
CREATE TABLE replica_devices (
  generation integer NOT NULL,
  device_id text COLLATE "C" NOT NULL,
  revision bigint NOT NULL,
  version bigint NOT NULL,
  status smallint NOT NULL,
  last_reported bigint,
  last_desired bigint,
  since bigint NOT NULL,
  since_version bigint NOT NULL,
  prior_since bigint NOT NULL,
  outstanding integer NOT NULL,
  -- The desired changes that are open: how many, and what is known of them.
  open_count integer NOT NULL,
  open_changes text,
  broken text,
  -- The replica to the byte. jsonb keeps neither the order of keys nor U+0000, so it is kept beside it.
  replica text NOT NULL,
  state jsonb NOT NULL,
  PRIMARY KEY (generation, device_id)
);

CREATE INDEX replica_devices_by_status ON replica_devices (generation, status, device_id);
-- The sorts; read backwards for the other direction.
CREATE INDEX replica_devices_by_version ON replica_devices (generation, version, device_id);
CREATE INDEX replica_devices_by_last_reported ON replica_devices (generation, last_reported, device_id);
CREATE INDEX replica_devices_by_last_desired ON replica_devices (generation, last_desired, device_id);
CREATE INDEX replica_devices_by_since ON replica_devices (generation, since, device_id);
-- Of the devices that are not in sync alone: how many for how long, answered without the rest.
CREATE INDEX replica_devices_out_of_sync ON replica_devices (generation, since, device_id)
  INCLUDE (open_count, outstanding) WHERE status = 0;
CREATE INDEX replica_devices_by_outstanding ON replica_devices (generation, outstanding, device_id);
-- Questions for equal values.
CREATE INDEX replica_devices_by_state ON replica_devices USING gin (state jsonb_path_ops);

-- Desired changes that were settled, counted by the hour of that, by how it ended, and by how long it took.
CREATE TABLE replica_settled (
  generation integer NOT NULL,
  hour bigint NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('reached', 'superseded', 'withdrawn')),
  bucket smallint NOT NULL,
  count bigint NOT NULL,
  sum_ms bigint NOT NULL,
  PRIMARY KEY (generation, hour, outcome, bucket)
);

-- What the one process that projects tells the others, and what they ask of it.
CREATE TABLE replica_projector (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- When it told something last.
  told_at timestamptz,
  -- What was in the log then is in the rows; null: nothing was told yet.
  shown_at timestamptz,
  -- Of a rebuild that runs; null: none does.
  rebuild_events bigint,
  rebuild_share double precision,
  rebuild_asked boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
INSERT INTO replica_projector DEFAULT VALUES;
