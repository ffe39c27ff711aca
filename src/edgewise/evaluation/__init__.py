"""Metrics of ranked lists and texts, the protocols that produce them, and reports.

A metric never sees a model, and a model never sees a held-out row: between the two stands
:mod:`edgewise.evaluation.evaluate`.
"""
