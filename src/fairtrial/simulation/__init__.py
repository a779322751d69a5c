"""Imagined experiments: how a rule behaves before anybody is exposed to it."""
