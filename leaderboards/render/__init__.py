"""Renders a board as Markdown, HTML, pictures and terminal output."""
