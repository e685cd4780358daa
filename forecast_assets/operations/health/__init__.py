"""How a home does: probes, each a small function that looks at one thing and says what is not as it should be.

What belongs here: probes and their registry, which `doctor` and alerts both ask; a probe only reads. What does not:
telling people (`forecast_assets.alerts`), mending anything, or tables and pages.
"""
