"""The parts that do I/O. Plugins never import them."""
