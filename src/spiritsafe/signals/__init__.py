"""Signals: what role an exchange could play, one question a file. Each returns SQL over the table ``sketch``."""
