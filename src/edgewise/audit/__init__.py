"""The audit: does a data set, a split, a graph or a run tell the answer that it is asked for?

Every check is a pure function of plain inputs that returns a
:class:`~edgewise.audit.report.Finding`; :mod:`edgewise.audit.registry` names them all.
"""
