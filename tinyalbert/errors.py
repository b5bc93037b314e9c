"""The one exception for mistakes that a user can mend."""


class UserError(ValueError):
    """A mistake that the user can mend; the message says what was got, what was expected, what to
    do.

    The command line prints the message without a traceback and exits with 2.
    """
