"""What a stranger can check: canonical bytes, signatures (DSSE), Merkle logs (RFC 6962), time stamps (RFC 3161)."""
