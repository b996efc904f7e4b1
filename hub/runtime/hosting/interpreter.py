"""Python's own settings, for a process that runs for months and takes in bars by the ten thousand."""

import gc
import sys

TURN_S = 0.0005
"""A thread that comes back from the disk waits this long for its turn, instead of ten times as long: loop and writer work side by side."""


YOUNG = 20_000
"""New objects until garbage is looked for, instead of 700: a page of bars is a thousand, and none of it is garbage of that kind."""


def settle_in() -> None:
    """Call it when everything is loaded: what is there by now stays, and garbage collection need not look through it again and again."""
    sys.setswitchinterval(TURN_S)
    gc.set_threshold(YOUNG, 10, 10)
    gc.collect()
    gc.freeze()
