"""The station in one archive: made, checked, taken out again, and made every night."""
