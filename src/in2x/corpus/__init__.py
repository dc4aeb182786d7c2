"""From raw text to training data: read, normalise, filter, deduplicate, tag, mix.

The order of a curation run, one module each:

1. `readers`: user files of any supported format -> one frame of pairs and the rows that were broken.
2. `normalize`: the one spelling every later step sees, and the key under which two texts are duplicates.
3. `filters`: what is not a translation pair, with the reason.
4. `domains`: a rough tag of style (conversational, knowledge) and of Japanese register.

Frames carry the columns `id`, `source`, `target` and, where rows form documents, `document`.
"""
