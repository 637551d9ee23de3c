"""The composition root: a policy, its stores and its clock make one plan per decorated function.

``current`` holds the runtime in use and is cheap to import; ``compose`` makes one, and loads what it needs.
"""
