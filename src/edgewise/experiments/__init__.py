"""Tables of papers by one command: a table is a folder of configurations, a cell a fitted run.

``experiments/<paper>/<table>/<data set>/<method>.toml`` asks for a cell,
``results/<paper>/<table>/<data set>/<method>.json`` holds its figures, and ``paper.csv`` beside the
data sets' folders what the paper prints.
"""
