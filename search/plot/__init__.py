"""The course of a search as a chart and an HTML page."""
