"""Rule-based checks of Japanese text, each with a rate and the places it fired at; `suite` runs them all.

A check is a pure function of one document: its segments in order and, where the check compares, their sources.
"""
