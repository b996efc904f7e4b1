"""The Grafana boards, one file each; `make dashboards` writes them to `grafana/dashboards/` as Grafana's classic JSON."""
