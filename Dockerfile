# The hub alone, without trainer and tests; runs as a user of its own. Data in /data, config.yaml (if any) in /config.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/tickerml
COPY requirements/run.txt requirements/
RUN /opt/tickerml/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY hub hub
COPY plugins plugins
COPY grafana grafana
COPY mosquitto mosquitto
RUN /opt/tickerml/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps .

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin tickerml && install -d -o tickerml -g tickerml /data /config
COPY --from=build /opt/tickerml /opt/tickerml
# Two heaps instead of one for every thread: Python runs one at a time anyway, and 10 MB are saved.
ENV PATH=/opt/tickerml/bin:$PATH PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2 TICKERML__DATA_DIR=/data
USER 10001
WORKDIR /config
VOLUME /data
ENTRYPOINT ["hub"]
CMD ["run"]
