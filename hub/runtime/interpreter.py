"""Python's own settings, for a process that runs for months and takes in bars by the ten thousand."""

import gc
import sys

TURN_S = 0.0005
"""A thread that comes back from the disk waits this long for its turn, instead of ten times as long: loop and writer work side by side."""


def settle_in() -> None:
    """Call it when everything is loaded: what is there by now stays, and garbage collection need not look through it again and again."""
    sys.setswitchinterval(TURN_S)
    gc.collect()
    gc.freeze()
