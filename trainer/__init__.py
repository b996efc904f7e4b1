"""Learns from what the hub collected, on a PC: one verb or noun a file, read top to bottom."""
