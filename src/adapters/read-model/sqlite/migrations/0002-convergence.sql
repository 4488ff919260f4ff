-- The desired changes of a device that are open: how many, and what is known of them (null: none).
ALTER TABLE devices ADD COLUMN open_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN open_changes TEXT;

-- Of the devices that are not in sync alone: how many for how long, answered without the rest.
CREATE INDEX devices_out_of_sync ON devices (generation, since, device_id, open_count) WHERE status = 0;

-- Desired changes that were settled, counted by the hour of that, by how it ended, and by how long it took.
CREATE TABLE settled (
  generation INTEGER NOT NULL,
  hour INTEGER NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('reached', 'superseded', 'withdrawn')),
  bucket INTEGER NOT NULL,
  count INTEGER NOT NULL,
  sum_ms INTEGER NOT NULL,
  PRIMARY KEY (generation, hour, outcome, bucket)
) STRICT;
