"""The one error of StarNet that is meant for its user."""


class StarnetError(Exception):
    """Something the user can mend, said in one sentence.

    The message names the file, the HDU or the parameter at fault, and the mend. The command line prints it and exits
    with code 2.
    """
