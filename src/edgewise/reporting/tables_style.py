"""What a page of tables looks like beyond :mod:`edgewise.reporting.style`."""

TABLES_CSS = """
body { max-width: 76rem; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; }
a { color: var(--accent); }
table.sortable { width: auto; min-width: min(100%, 34rem); border-collapse: separate;
  border-spacing: 0; }
table.sortable th, table.sortable td { padding: .34rem .8rem; }
table.sortable thead th { text-align: right; vertical-align: bottom; }
table.sortable thead th:not(:first-child):not(.group) { min-width: 6.2rem; max-width: 9rem; }
table.sortable thead th.group { text-align: center; border-bottom: 0; color: var(--faint);
  font-weight: 500; }
table.sortable th:first-child { position: sticky; left: 0; background: var(--ground);
  text-align: left; z-index: 1; padding-left: 0; }
table.sortable tbody th { font-weight: 400; min-width: 9rem; max-width: 15rem; }
table.sortable tr.strong th { font-weight: 600; }
table.sortable td { white-space: nowrap; }
th button { all: unset; cursor: pointer; font: inherit; }
th button:focus-visible, .scroll:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
th.leaks button { color: var(--warn); }
th.leaks button::before { content: "leaks: "; }
.best { font-weight: 700; }
.second { text-decoration: underline; text-underline-offset: .18em; }
.spread { display: block; color: var(--faint); font-size: .78rem; }
td.missing { color: var(--faint); font-style: italic; }
details { margin: .4rem 0 1rem; }
summary { cursor: pointer; color: var(--accent); }
.warning { max-width: none; padding: .6rem .9rem; border: 1px solid var(--warn);
  border-left-width: 5px; border-radius: 6px; background: var(--warn-ground);
  font-weight: 500; margin: .6rem 0 1rem; }
.gallery { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
figure { margin: 1rem 0; min-width: 0; }
figure img { margin: .4rem auto; }
figure.wide { grid-column: 1 / -1; }
figure.wide img { max-height: 60rem; }
figcaption { color: var(--faint); font-size: .85rem; text-align: center; }
:root { --warn: #bc4c00; --warn-ground: #fff5eb; }
@media (prefers-color-scheme: dark) { :root { --warn: #f0883e; --warn-ground: #2a1c10; } }
@media (max-width: 40rem) { body { padding: 1.4rem .9rem 3rem; font-size: 15px; }
  h1 { font-size: 1.5rem; } table.sortable tbody th { min-width: 6rem; max-width: 8.5rem; }
  table.sortable th, table.sortable td { padding: .34rem .55rem; }
  figure.wide img { max-width: none; width: 46rem; } }
"""
