"""What the report says to a reader who knows neither the paper nor the metrics."""

INTRODUCTION = {
    "elmrec": "A small T5 language model reads users and items as text. Each name it reads also "
    "carries a vector that has travelled along the graph of who bought what, so the model knows "
    "who is near whom before it reads a word.",
    "graph-gpt": "A small GPT-2 language model reads every user and every item as one word of its "
    "own. Where it decides which words to attend to, two of these words that are near each other "
    "in the graph of who bought what are raised, so the model looks first at what is near.",
}

HOW_TO_READ = """<p>Each user's last purchase was hidden from training, and so from the graph. A
system is good if it finds it. <b>HitRate@5</b> is the share of users whose hidden item stands
among the first 5 of their list. <b>NDCG@5</b> and <b>MRR</b> also ask how high it stands: 1 is
always first, 0 is never found. Behind each number is the interval in which it would lie for other
users of the same kind, 19 times of 20. The baseline, popularity, recommends the same best-sellers
to everybody; <b>difference</b> compares both user by user and is <span class="hit">green</span>
where chance alone does not explain the gain.</p>"""

TASKS = {
    "direct": (
        "Direct: choose from a list",
        "The system sees the hidden item among 99 items the user never touched, and ranks all 100. "
        "Guessing finds it among the first 10 once in ten times.",
    ),
    "sequential": (
        "Sequential: what comes next?",
        "The system sees what the user bought, in order, and must name the next item out of the "
        "whole shop. <b>Coverage</b> is the share of the shop that appears in anybody's list, and "
        "<b>PopularShare</b> how much of the lists is best-sellers; neither is good or bad by "
        "itself, but a system that helps people find things does not show everybody the same.",
    ),
    "explanation": (
        "Explanation: say why",
        "The system writes why the user may like the item, and is compared with what the user "
        "really wrote. <b>BLEU</b> and <b>ROUGE</b> (0 to 100) count words and runs of words that "
        "both share; <b>Distinct</b> is the share of different sentences. The baseline says the "
        "most frequent sentence to everybody: what it scores comes for free.",
    ),
}

CURVES = """<p>The loss is how much the right answer surprises the model; lower is better. A row is
a stage of training. On the left, on what it trains on. On the right, on rows kept aside: when such
a curve turns upward, the model begins to learn by heart. The vertical line is the moment whose
weights were kept.</p>"""

_DOTS = """<p>Every dot is a user or an item; dots are close together if their vectors point the
same way. <b>Before</b>, the vectors are random numbers and colours are mixed. """
_SHELVES = """Colours are the shop's shelves (for a user, the shelf they buy most from)"""

MAPS = {
    "elmrec": (
        "What does the graph add?",
        f"""{_DOTS}<b>After</b> they have travelled along the graph, users who buy alike and items
bought together lie together. {_SHELVES}, and the graph was never told about them: it saw purchases
alone.</p>""",
    ),
    "graph-gpt": (
        "What did it learn of users and items?",
        f"""{_DOTS}<b>After</b> training they are the model's own words for users and items, learned
from texts and purchases. {_SHELVES}.</p>""",
    ),
}

USERS = """<p>Users drawn at random, not chosen because it went well. A green check marks the
purchase that was hidden.</p>"""

EXPLAINED = """<p>Pairs from the test part, drawn at random. The shares tell through which of the
user's earlier purchases the item reaches them in the graph: other customers bought both.</p>"""

NEXT = """<p>Everything on this page is in the run folder, user by user, under
<code>evaluation/</code>. The same commands work on your own data:</p>
<pre>edgewise recommend {run} --all --out lists.csv
edgewise data import ratings.csv --out data/mine
edgewise fit {method} --data data/mine --out runs/mine
edgewise evaluate runs/mine</pre>"""
