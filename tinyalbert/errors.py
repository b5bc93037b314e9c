"""The one exception for mistakes that a user can mend."""


class UserError(ValueError):
    """A mistake that the user can fix.

    The message says what was got, what was expected and what to do.  The command line prints it
    without a traceback and exits with 2.
    """
