"""The report on the systems of a segment store: one self-contained page, its numbers as JSON, its tables as LaTeX.

build       reads the store, compares, writes the three files
page        the parts of the page
ranking     scores with intervals and clusters, by domain, and the significance matrices
segments    where two systems differ most, with what changed; the worst and the best segments
checks      what the checks of Japanese and the challenge set found, where their files are given
latex       the ranking as LaTeX tables
"""
