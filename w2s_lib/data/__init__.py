"""Preference pairs: the world's and real ones, in leak-free splits."""
