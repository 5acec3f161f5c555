"""From a board to text: Markdown, HTML, pictures, the terminal."""
