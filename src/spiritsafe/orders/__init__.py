"""Orders: measures against campaigns, approved by persons, signed as one snapshot, looked up at each request."""
