"""The broker: the connection to it, what goes out and comes in, the embedded one, and the set-up of a real one."""
