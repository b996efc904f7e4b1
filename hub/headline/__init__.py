"""How headlines sound. Shared by plugin and trainer; without I/O, but for Gemma, who is given her HTTP client."""
