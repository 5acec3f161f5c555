"""Self-contained HTML pages and SVG charts, for every package that writes some.

page.py      a page: the shell that all share, and a template of the package's own inside it
chart.py     a chart: texts, lines, curves, dots, boxes, ticks, with one style sheet
axis.py      where ticks go
"""
