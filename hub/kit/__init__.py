"""For authors of plugins: a new one to begin with, and a look at whether one is as it should be."""
