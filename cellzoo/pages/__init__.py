"""Self-contained HTML pages and SVG charts, for every package that writes some.

page.py      a page: a common base template that each package extends with its own
chart.py     a chart: texts, lines, curves, dots, boxes, ticks, with one style sheet
axis.py      axes: ranges and the positions of ticks
"""
