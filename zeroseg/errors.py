"""The one error that a user can mend."""


class InputError(Exception):
    """Something handed to the program is wrong; the message names it and says how to mend it.

    The command line prints it as one line. Every other exception is a defect of the program. It is no
    ValueError: who catches what a decoder raises on damaged bytes must let a failure of the network
    through, or what is made of the bytes would depend on the network.
    """

    def __init__(self, message: str) -> None:
        # Names of files and keys stand in it, which may hold line breaks or bytes that no terminal shows.
        super().__init__("".join(c if c.isprintable() else _escaped(c) for c in message))


class NoRoom(InputError):
    """A disk is full, or a cache cannot be written: no loss of one sample or shard, as all that follow would
    be lost as well."""


class UnfitPicture(InputError):
    """A model does not take a picture of this size; others it may."""


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
