#!/bin/sh
# Installs the hub as a service of this machine, or brings it up to date, or takes it away: install.sh install | uninstall [--purge]
# A folder in ROOT stands for / (for tests, and for images); then nothing of the running system is touched.
set -eu

root=${ROOT:-}
here=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
opt=$root/opt/tickerml
unit=$root/etc/systemd/system/tickerml.service
config=$root/etc/tickerml

live() { [ -z "$root" ]; }
say() { printf '%s\n' "$*"; }

install_hub() {
    if live; then
        [ "$(id -u)" = 0 ] || { say "root is needed: sudo make install" >&2; exit 1; }
        id -u tickerml >/dev/null 2>&1 || useradd --system --home-dir /var/lib/tickerml --shell /usr/sbin/nologin tickerml
    fi
    # The venv stays where it is there: plugins that were installed into it stay, too.
    [ -x "$opt/bin/python" ] || python3 -m venv "$opt"
    "$opt/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements/run.txt"
    "$opt/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$here"
    mkdir -p "$config/credentials" "$(dirname "$unit")" "$root/var/lib/tickerml"
    chmod 0700 "$config/credentials" "$root/var/lib/tickerml"
    if [ ! -e "$config/config.yaml" ]; then
        "$opt/bin/hub" init "$config" >/dev/null
        sed -i 's|^# data_dir: .*|data_dir: /var/lib/tickerml|' "$config/config.yaml"
    fi
    install -m 0644 "$here/systemd/tickerml.service" "$unit"
    if live; then
        chown -R tickerml:tickerml /var/lib/tickerml
        ! getent group mosquitto >/dev/null || usermod -aG mosquitto tickerml # who may use the broker's socket
        chown root:tickerml "$config" && chmod 0750 "$config"
        chown tickerml:tickerml "$config/config.yaml" && chmod 0600 "$config/config.yaml" # a password may stand in it
        if [ -e /lib/systemd/system/influxdb.service ]; then
            install -D -m 0644 "$here/systemd/influxdb-loopback.conf" /etc/systemd/system/influxdb.service.d/loopback.conf
            say "InfluxDB will listen on 127.0.0.1 alone, from its next start (systemctl restart influxdb)"
        fi
        systemctl daemon-reload
        systemctl enable --quiet tickerml
        systemctl restart tickerml
        ln -sf /opt/tickerml/bin/hub /usr/local/bin/hub
    fi
    say "installed: $("$opt/bin/python" -c 'import hub; print(hub.__version__)'); configuration in $config, data in $root/var/lib/tickerml"
    say "look: systemctl status tickerml; journalctl -u tickerml -f; sudo -u tickerml hub -c /etc/tickerml/config.yaml doctor"
}

uninstall_hub() {
    if live; then
        [ "$(id -u)" = 0 ] || { say "root is needed: sudo make uninstall" >&2; exit 1; }
        systemctl disable --quiet --now tickerml 2>/dev/null || true
        rm -f /usr/local/bin/hub
    fi
    rm -f "$unit"
    rm -rf "$opt"
    live && systemctl daemon-reload
    if [ "${1:-}" = --purge ]; then
        rm -rf "$config" "$root/var/lib/tickerml"
        live && userdel tickerml 2>/dev/null || true
        say "removed, with configuration and data"
    else
        say "removed; configuration is still in $config, data in $root/var/lib/tickerml"
    fi
}

case ${1:-} in
    install) install_hub ;;
    uninstall) uninstall_hub "${2:-}" ;;
    *) say "usage: $0 install | uninstall [--purge]" >&2; exit 2 ;;
esac
