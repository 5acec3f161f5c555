"""The course of a search as a picture and a page."""
