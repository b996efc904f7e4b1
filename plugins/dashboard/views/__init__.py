"""What the page shows, as data: each view is a function of the store and the time, and knows nothing of HTML."""
