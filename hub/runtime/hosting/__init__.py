"""Plugins and their flows: found, loaded, given a hub, run alone, and started again; in this process or in one of their own."""
