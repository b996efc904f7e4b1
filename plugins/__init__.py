"""What the hub can do; one folder a plugin."""
