-- The replica's text with U+0000 and U+0001 escaped, for filters; null: it has neither. `searchable` is the program's.
ALTER TABLE devices ADD COLUMN searchable TEXT;
UPDATE devices SET searchable = searchable(replica) WHERE instr(replica, '\u000') > 0;
