"""What of a case walks through several rooms: sealing the records that results rest on, and computing them anew."""
