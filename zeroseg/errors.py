"""The one error that a user can mend."""


class InputError(Exception):
    """Something handed to the program is wrong; the message names it and says how to mend it.

    The command line prints it as one line. Every other exception is a defect of the program. It is no
    ValueError: who catches what a decoder raises on damaged bytes must let a failure of the network
    through, or what is made of the bytes would depend on the network.
    """
