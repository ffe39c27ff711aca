"""Tables of papers by one command: a table is a file, a cell a fitted and measured run.

``configs/<paper>/<table>.toml`` asks for the cells, ``configs/<paper>/<table>.csv`` holds what the
paper prints, and ``results/<paper>/<table>/<data set>/<row>.json`` what was measured.
"""
