"""Learns from what the hub collected, on a PC: one verb or noun a file, read top to bottom."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded: threads that wait busily are 6x slower beside other work
