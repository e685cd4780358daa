"""Overrides at work: the stage that applies what planners and rules say to the forecasts of a run."""
