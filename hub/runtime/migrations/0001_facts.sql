-- Facts. `seq` numbers every insert and every upgrade, over all tables; forwarders keep their place by it.
-- The checks say what a sound row is: the look at every start finds what a bad disk has made of one.
CREATE TABLE bar (
  seq INTEGER PRIMARY KEY,
  symbol TEXT NOT NULL,
  open_time INTEGER NOT NULL, -- ms since the epoch, UTC
  open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
  volume REAL, quote_volume REAL, trades INTEGER, taker_buy_volume REAL,
  source TEXT NOT NULL,
  quality INTEGER NOT NULL, -- 0 fallback, 1 exact
  UNIQUE (symbol, open_time),
  CHECK (symbol GLOB '?*-?*' AND symbol NOT GLOB '*[^A-Z0-9-]*' AND source <> '' AND source NOT GLOB '*[^A-Za-z0-9_.-]*'),
  CHECK (typeof(open_time) = 'integer' AND open_time % 60000 = 0 AND open_time BETWEEN -62135596800000 AND 253402300740000),
  CHECK (typeof(open) || typeof(high) || typeof(low) || typeof(close) = 'realrealrealreal'),
  CHECK (low > 0 AND high < 9e999 AND open BETWEEN low AND high AND close BETWEEN low AND high),
  CHECK (coalesce(volume, 0.0) >= 0.0 AND coalesce(volume, 0.0) < 9e999 AND typeof(volume) IN ('real', 'null')),
  CHECK (coalesce(quote_volume, 0.0) >= 0.0 AND coalesce(quote_volume, 0.0) < 9e999 AND typeof(quote_volume) IN ('real', 'null')),
  CHECK (coalesce(taker_buy_volume, 0.0) >= 0.0 AND coalesce(taker_buy_volume, 0.0) < 9e999
         AND typeof(taker_buy_volume) IN ('real', 'null')),
  CHECK (coalesce(trades, 0) >= 0 AND typeof(trades) IN ('integer', 'null')),
  CHECK (quality IN (0, 1))
);
CREATE INDEX bar_fallback ON bar (symbol, open_time) WHERE quality = 0;
-- What a bar was before the exchange corrected it.
CREATE TABLE revision (
  symbol TEXT NOT NULL, open_time INTEGER NOT NULL,
  open REAL, high REAL, low REAL, close REAL, volume REAL, source TEXT,
  replaced_by INTEGER NOT NULL -- seq
);
CREATE TRIGGER bar_revised AFTER UPDATE ON bar WHEN old.quality = new.quality
BEGIN
  INSERT INTO revision VALUES (old.symbol, old.open_time, old.open, old.high, old.low, old.close, old.volume, old.source, new.seq);
END;
-- Everything else that was recorded, gaps among it, as it was at that moment.
CREATE TABLE fact (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  topic TEXT NOT NULL,
  payload TEXT NOT NULL CHECK (json_valid(payload))
);
CREATE INDEX fact_topic ON fact (kind, topic, seq);
-- Which minutes are known to be missing now.
CREATE TABLE gap (
  symbol TEXT NOT NULL CHECK (symbol GLOB '?*-?*' AND symbol NOT GLOB '*[^A-Z0-9-]*'),
  first_open_time INTEGER NOT NULL, last_open_time INTEGER NOT NULL,
  reason TEXT NOT NULL, tries INTEGER NOT NULL, next_try_at INTEGER,
  PRIMARY KEY (symbol, first_open_time),
  CHECK (first_open_time % 60000 = 0 AND last_open_time % 60000 = 0),
  CHECK (first_open_time >= -62135596800000 AND last_open_time BETWEEN first_open_time AND 253402300740000),
  CHECK (reason <> '' AND tries >= 0 AND coalesce(next_try_at, 0) BETWEEN -62135596800000 AND 253402300799999)
) WITHOUT ROWID;
CREATE TABLE cursor (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE frontier (symbol TEXT PRIMARY KEY, open_time INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('seq', 0), ('suspect', 0);
