"""The one error that a user can mend."""


class InputError(ValueError):
    """Something handed to the program is wrong; the message names it and says how to mend it.

    The command line prints it as one line. Every other exception is a defect of the program.
    """
