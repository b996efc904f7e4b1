"""Pure market arithmetic, shared by the Pi and the PC: no I/O, no clock."""
