"""Objects of the forum: what a scan found as STIX 2.1 and back, and the words that are the same for all members."""
