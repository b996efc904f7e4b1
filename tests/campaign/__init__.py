"""The fault campaign: a whole station with every server it has, and all that can happen to it."""
