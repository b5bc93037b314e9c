"""The exception of a library that can't be used, which is no mistake of the user's."""


class Unusable(Exception):
    """A product library is missing, broken or of no use here; the message says which."""
