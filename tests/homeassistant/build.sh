#!/bin/sh
# Debian 13 in a folder, and in it Home Assistant as people run it: its Python is newer than Debian 12's. Ten minutes, 1.5 GB; once.
set -eu
target=$1
version=2025.12.5
[ -e "$target/ready-$version" ] && exit 0
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] *\)\?\([^ ]*\).*/\2/p' | grep -v security | head -n 1)
rm -rf "$target"
mkdir -p "$target"
packages=python3,python3-venv,python3-dev,ca-certificates,build-essential,libffi-dev,libssl-dev,ffmpeg,libturbojpeg0
debootstrap --variant=minbase --include=$packages trixie "$target" "$mirror"
cp /etc/ssl/certs/ca-certificates.crt "$target/etc/ssl/certs/ca-certificates.crt"
cp /etc/resolv.conf "$target/etc/resolv.conf"
[ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$target/etc/pip.conf"
chroot "$target" python3 -m venv /ha
chroot "$target" env PIP_CERT=/etc/ssl/certs/ca-certificates.crt /ha/bin/pip install --quiet homeassistant==$version
# What it would otherwise fetch at its first start.
wanted=$(chroot "$target" /ha/bin/python -c '
import json, pathlib, homeassistant.components as components
folder = pathlib.Path(components.__path__[0])
print(*(each for name in ("mqtt", "frontend", "stream") for each in json.loads((folder / name / "manifest.json").read_text())["requirements"]))')
chroot "$target" env PIP_CERT=/etc/ssl/certs/ca-certificates.crt /ha/bin/pip install --quiet $wanted
touch "$target/ready-$version"
