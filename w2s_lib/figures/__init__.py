"""The book's figures, one function each: frame in, figure with its alt text and caption out.

A colour means one thing in the whole book (``style``).  No figure computes a statistic.
"""

SLIDE = "application/vnd.w2s.slide+svg"
"""Type under which a figure comes drawn for a slide."""
