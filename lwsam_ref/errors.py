"""What can go wrong: with what a user asked for, and with an evaluation that was used twice."""


class UserError(Exception):
    """Something asked for cannot be done: one sentence that says what was asked, what was found, what to do.

    The command line prints the sentence on standard error and exits with status 2; there is no traceback.
    """


def unknown(kind: str, asked: object, known: object) -> UserError:
    """``unknown("model", "resnet21", ["mlp", "resnet20"])``: the sentence for a name that is not in a list."""
    names = ", ".join(sorted(map(str, known)))  # type: ignore[call-overload]
    return UserError(f"asked for {kind} {asked!r}, which is not known: use one of {names}")


class Consumed(RuntimeError):
    """An evaluation was used after it had been resumed."""
