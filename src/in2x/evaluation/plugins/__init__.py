"""Neural metrics, each in a Python environment and a process of its own, since their pins conflict with ours.

    host          starts the process, sends it segments and reads scores; keeps them by content
    worker        the loop on the other side: it imports nothing but the standard library
    run_comet     COMET, XCOMET and CometKiwi (package unbabel-comet)
    run_metricx   MetricX-24 and MetricX-QE (package transformers)

The two sides speak JSON, a line each. The worker begins with {"ready": true, "needs_reference": ..., "signature": ...}.
Then each {"rows": [{"source", "hypothesis", "reference"}, ...]} is answered by {"scores": [...]} or {"error": "..."}.
"""
