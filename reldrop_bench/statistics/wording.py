"""Numbers in sentences: 1 cell is, 2 cells are, 1 of 15 cells is."""


def by_number(number: int, one: str, several: str) -> str:
    """Return the word that goes with a number, such as "is" or "are"."""
    return one if number == 1 else several


def counted(number: int, noun: str, several: str = "", total: int | None = None) -> str:
    """Return "1 cell" or "2 cells", or of a `total` "1 of 2 cells".

    several: the plural of `noun` where that is not `noun` with an s.
    """
    if total is not None:
        return f"{number} of {counted(total, noun, several)}"
    return f"{number} {by_number(number, noun, several or f'{noun}s')}"
