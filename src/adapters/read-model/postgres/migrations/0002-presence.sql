-- Which devices are connected, or were: of no generation, since no event says it. Exactly one of the two times is there.
CREATE TABLE replica_presence (
  device text COLLATE "C" PRIMARY KEY,
  connected_since bigint,
  disconnected_since bigint,
  -- The connection that it is of: the one that began last. Of those that began at once, the one with the greater name.
  opened_at bigint NOT NULL,
  connection text COLLATE "C" NOT NULL,
  -- Null: told by the device on its topic. So is the instance, whose end does not end the connection then.
  client_id text,
  instance text,
  ended text,
  will boolean NOT NULL,
  CHECK ((connected_since IS NULL) <> (disconnected_since IS NULL))
);

CREATE INDEX replica_presence_by_connected ON replica_presence (connected_since) WHERE connected_since IS NOT NULL;
CREATE INDEX replica_presence_by_disconnected ON replica_presence (disconnected_since)
  WHERE disconnected_since IS NOT NULL;
-- From a device to its replicas: a named one's id begins with the device's and a slash.
CREATE INDEX replica_devices_by_device ON replica_devices (generation, split_part(device_id, '/', 1));

-- When each instance wrote last: by its own clock, and by the server's, which tells who is dead.
CREATE TABLE replica_instances (
  instance text PRIMARY KEY,
  seen_at bigint NOT NULL,
  written_at timestamptz NOT NULL
);
