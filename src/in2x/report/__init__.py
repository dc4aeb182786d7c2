"""The report stage: one self-contained HTML page about a run.

folders   reads stage folders, whatever is missing or half written
scales    axes: from values to places, and round tick values
plots     inline SVG line charts that follow the page's width and theme; what all charts share
dots      estimates with their intervals
bars      counts and shares
systems   their order, names and headline scores
curves    metrics.jsonl as a grid of line charts
markup    HTML that escapes by default; tables; numbers as people read them
parts     one module per part of the page
page      the page itself: header, pipeline strip, sections
build     the stage entry
"""
