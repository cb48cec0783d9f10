"""Cases: what an investigator assembles, and the page on which people read it."""
