"""One campaign for people: from a result's files to what the page shows, and its drawings.

group        the entry, its exchanges and what its accounts hold, read by column and kept while the files stay
timeline     exchanges in time, with zoom and marks
weighing     each test's evidence, how it comes together, and where the bar is
whatif       evidence taken away, and decided anew
network      accounts, streams and infrastructure, collapsed and opened on demand
members      accounts, sorted, filtered, paged
slots        fixed words and slots of the shared texts
drawing      what the drawings have in common

Everything but the drawings is plain data, the same for a page and for its JSON twin. Every text may be hostile: pages clean and
escape it, drawings escape it here.
"""
