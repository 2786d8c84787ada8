"""Refractive indices and the solar spectrum as small CSV tables, each with its source in its head."""
