"""A member's side: what it sends, what it takes, and what its own policy makes of what it took."""
