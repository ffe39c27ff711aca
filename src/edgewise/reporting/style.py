"""The look of the report: one column, the reader's own light or dark."""

CSS = """
:root { color-scheme: light dark; --ink: #1f2328; --faint: #656d76; --line: #d8dee4;
  --card: #f6f8fa; --accent: #0969da; --good: #1a7f37; --ground: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --faint: #9198a1; --line: #3d444d;
  --card: #151b23; --accent: #4493f8; --good: #3fb950; --ground: #0d1117; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 60rem; background: var(--ground);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .5rem; padding-top: 1.2rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { max-width: 46rem; margin: .5rem 0; }
.faint { color: var(--faint); }
.small { font-size: .88rem; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; font-size: .93rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .34rem .7rem .34rem 0; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; }
td.number, th.number { text-align: right; }
td .faint { white-space: nowrap; }
.scroll { overflow-x: auto; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .9rem 1.1rem; }
.card h3 { margin-top: 0; }
.card ol { padding-left: 1.3rem; margin: .3rem 0; }
.hit { color: var(--good); font-weight: 600; }
blockquote { margin: .3rem 0 .7rem; padding-left: .8rem; border-left: 3px solid var(--line); }
blockquote.written { border-color: var(--accent); }
img { max-width: 100%; height: auto; display: block; margin: .8rem auto; }
img.paper { background: #fff; border-radius: 10px; padding: .4rem; }
code, pre { font: .88rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .8rem 1rem; overflow-x: auto; }
"""
