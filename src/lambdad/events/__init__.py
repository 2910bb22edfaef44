"""Call a function later: the queue of events, its dispatcher, retries, dead letters and destinations."""
