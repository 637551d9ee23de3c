"""Which entry: an exact, order-insensitive, typed key for a call.

signature → canonical encoding of the arguments → digest → name in Redis.
"""
