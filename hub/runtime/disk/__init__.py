"""The store and its way to disk: what is confirmed survives a power cut, and the disk lasts."""
