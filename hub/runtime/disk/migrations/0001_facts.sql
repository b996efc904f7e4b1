-- Facts. `seq` numbers every insert and every upgrade, over all tables; forwarders keep their place by it.
-- The types are strict: so the look at every start finds what a bad disk has made of them.
CREATE TABLE bar (
  seq INTEGER PRIMARY KEY,
  symbol TEXT NOT NULL,
  open_time INTEGER NOT NULL, -- ms since the epoch, UTC
  open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
  volume REAL, quote_volume REAL, trades INTEGER, taker_buy_volume REAL,
  source TEXT NOT NULL,
  quality INTEGER NOT NULL, -- 0 fallback, 1 exact
  UNIQUE (symbol, open_time)
) STRICT;
CREATE INDEX bar_fallback ON bar (symbol, open_time) WHERE quality = 0;
-- What a bar was before the exchange corrected it.
CREATE TABLE revision (
  symbol TEXT NOT NULL, open_time INTEGER NOT NULL,
  open REAL, high REAL, low REAL, close REAL, volume REAL, source TEXT,
  replaced_by INTEGER NOT NULL -- seq
) STRICT;
CREATE TRIGGER bar_revised AFTER UPDATE ON bar WHEN old.quality = new.quality
BEGIN
  INSERT INTO revision VALUES (old.symbol, old.open_time, old.open, old.high, old.low, old.close, old.volume, old.source, new.seq);
END;
-- Everything else that was recorded, gaps among it, as it was at that moment.
CREATE TABLE fact (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  topic TEXT NOT NULL,
  payload TEXT NOT NULL
) STRICT;
CREATE INDEX fact_topic ON fact (kind, topic, seq);
-- Which minutes are known to be missing now.
CREATE TABLE gap (
  symbol TEXT NOT NULL,
  first_open_time INTEGER NOT NULL, last_open_time INTEGER NOT NULL,
  reason TEXT NOT NULL, tries INTEGER NOT NULL, next_try_at INTEGER,
  PRIMARY KEY (symbol, first_open_time)
) STRICT, WITHOUT ROWID;
CREATE TABLE cursor (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE frontier (symbol TEXT PRIMARY KEY, open_time INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('seq', 0);
