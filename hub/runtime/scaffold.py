"""What `hub init` writes."""

from pathlib import Path

from hub.errors import HubError

CONFIG = """\
# TickerML. Every key is optional; what stands here after a # is the default.
# The environment overrides: TICKERML__MQTT__HOST=broker.lan sets mqtt.host. A secret can also be given as <key>_file.
symbols: [BTC/USDT, ETH/USDT]

# data_dir: data                   # relative to this file
# plugin_dir: custom_plugins       # a plugin of your own: custom_plugins/NAME.py, and a section NAME below

mqtt:
  host: localhost                  # or the path of the broker's socket, such as /run/tickerml/mqtt.sock
  port: 1883
  embedded: true                   # start a small broker here, unless one already listens
  # username: null
  # password: null                 # then: chmod 600 config.yaml, or use password_file
  # tls: false
  # ca_file: null
  # root: tickerml                 # first part of every topic
  # client_id: null                # null: root and -hub; two hubs on one broker need two

# clock: null                      # such as {start: "2025-05-20T00:00:00Z", speed: 60}: replay the past, or hurry
# log: {level: info, format: auto} # debug | info | warning | error; auto (text on a terminal, else JSON) | text | json

# backup:                          # one archive a night: store, models, configuration without secrets
#   at: "03:17"                    # UTC; null: none
#   keep: 3
#   folder: null                   # null: backups in data_dir; better on another disk

# retention:                       # how long facts stay; null: for ever, as bars do. What a forwarder has yet to take stays
#   forecasts: null                # such as 730d
#   scores: 90d
#   articles: 365d

# grafana:                         # where `hub grafana push` brings boards and alert rules
#   url: http://localhost:3000
#   token: null                    # of a service account with the role Admin; or use token_file
#   folder: TickerML
#   influxdb_url: null             # how Grafana itself reaches InfluxDB, where that is not plugins.influxdb.url

plugins:                           # a plugin runs if, and only if, its section is here
  collector:
    source: binanceus              # binanceus | binance | simulated
    fallback: coingecko            # or null
    backfill: 7d
    # binanceus: {base_url: https://api.binance.us}
    # binance: {base_url: https://api.binance.com}
    # coingecko: {base_url: https://api.coingecko.com/api/v3, api_key: null}
    # simulated: {file: null, seed: 1}               # file: bars.csv.gz to replay, or null for a market made by chance
  inference:                       # forecasts, by the model that comes with the hub until yours is better
    every: 5m                      # any span that divides a day
    # patience: 60s                # how long a bar is waited for; a late forecast is not made
    # shadow: 24h                  # how long a new model is proven at least; 0m takes it live after its test
    # trusted_keys: []             # beside those of `hub models trust KEY.pub`
  scorecard: {}                    # scores every forecast beside "nothing changes"
  news:                            # headlines, judged, and the mood of every hour
    every: 15m
    # feeds: [https://www.coindesk.com/arc/outboundfeeds/rss, https://cointelegraph.com/rss, https://decrypt.co/feed]
    # newsapi: {base_url: https://newsapi.org/v2, api_key: null, a_day: 100, language: en}   # a key is not needed
    # ollama: {base_url: http://localhost:11434, model: gemma3:4b, enabled: true}            # without it a lexicon judges
    # names: {}                    # how headlines call an asset that is not known by itself: {PEPE: [pepe]}
    # simulated: false             # true: headlines made by chance
  dashboard:                       # a page to look at: http://127.0.0.1:8787
    host: 127.0.0.1                # 0.0.0.0: from everywhere, with the password that stands in data/dashboard/first-password
    port: 8787
    # hosts: []                    # further names by which browsers reach it, such as [station.example.org]
    # password: null               # 12 characters at least; or password_file; null: one is made at the first start
    # certificate_file: null       # for https, with key_file
  # alerts:                        # tells people: plugins in trouble, models that come and go, sure forecasts of a proven model
  #   urls: []                     # Apprise URLs: mailto://, json://, ntfy://, tgram://, ...
  #   late: 1h                     # what could not be delivered for so long is left out
  # etl:                           # every day as CSV with a manifest, here or elsewhere
  #   at: "00:00"                  # UTC, or a cron expression
  #   target: null                 # sftp://user@host/folder, s3://bucket/folder, file:///folder
  #   target_key_file: null        # for sftp; otherwise the keys of ~/.ssh
  #   known_hosts: null            # for sftp; otherwise ~/.ssh/known_hosts
  #   keep: 30d                    # older ones are removed here, once they are delivered
  # homeassistant:                 # devices and entities that appear by themselves
  #   discovery_prefix: homeassistant
  # influxdb:                      # everything on disk, in InfluxDB 1.x, 2.x or 3 Core
  #   url: http://localhost:8086
  #   api: auto                    # auto | v1 | v2
  #   bucket: tickerml             # v1: the database; hours and days stand in tickerml_long
  #   retention: null              # how long minutes are kept, such as 90d; null: for ever
  #   username: null               # v1, where it asks for a user
  #   password: null
  #   token: null                  # v2
  #   org: null
"""
ENV = """\
# Copy to .env and chmod 600 .env; what stands there overrides config.yaml.
# TICKERML__MQTT__USERNAME=hub
# TICKERML__MQTT__PASSWORD=
# TICKERML__GRAFANA__TOKEN=
# TICKERML__PLUGINS__COLLECTOR__COINGECKO__API_KEY=
# TICKERML__PLUGINS__NEWS__NEWSAPI__API_KEY=
# TICKERML__PLUGINS__INFLUXDB__TOKEN=
"""


def scaffold(folder: Path) -> list[Path]:
    """Write config.yaml and .env.example where they are not yet; returns what was written. HubError where it cannot."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HubError(f"{folder}: cannot be made: {error.strerror}") from error
    for name, text in (("config.yaml", CONFIG), (".env.example", ENV)):
        file = folder / name
        try:
            with file.open("x", encoding="utf-8") as new:
                new.write(text)
        except FileExistsError:
            continue
        except OSError as error:
            raise HubError(f"{file}: cannot be written: {error.strerror}") from error
        written.append(file)
    return written
