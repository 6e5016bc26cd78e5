"""Networks with fewer bits: the precision of each operator, and weights stored in less than they run in.

May import the rooms of data, training and export.
"""
