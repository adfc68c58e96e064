"""Policies in other people's training loops: thin, without logic of their own."""
