"""Changes that a declaration may make to the values of a column: clean, map, parse."""

from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

#: The steps that a declaration may name in `clean`.
CLEANERS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "trim": lambda texts: pc.utf8_trim(texts, " "),
    "upper": pc.utf8_upper,
    "blank_to_null": lambda texts: pc.if_else(pc.equal(pc.utf8_trim(texts, " "), ""), None, texts),
}
_TIME = "YYYY-MM-DD HH:MM:SS"


class OddValueError(ValueError):
    """A value, the first one, that can't be mapped or parsed."""

    def __init__(self, value: str, reason: str) -> None:
        super().__init__(reason)
        self.value = value


def mapped(values: pa.Array, codes: Mapping[str, int | str], to: pa.DataType) -> pa.Array:
    """Replace values by the codes that a declaration lists for them; an empty text by NULL.

    Args:
        codes: codes by text: in lower case, without blanks and double quotes around it.

    Raises:
        OddValueError: for a value that is not listed.
    """
    distinct = values.cast(pa.string()).dictionary_encode()
    found: list[int | str | None] = []
    for text in distinct.dictionary.to_pylist():
        plain = text.strip().strip('"').strip().lower()
        if plain and plain not in codes:
            raise OddValueError(text, f"the contract has no value for {text!r}")
        found.append(codes[plain] if plain else None)
    return pa.array(found, to).take(distinct.indices)


def parsed(texts: pa.Array, to: pa.DataType) -> pa.Array:
    """Parse texts to numbers or times; a blank one is NULL.

    Args:
        texts: numbers in decimal, or times of the form `YYYY-MM-DD HH:MM:SS`.
        to: the type that they are meant for.

    Returns:
        Texts as they are, times, or doubles: which of them are integers, the cast to `to` checks.

    Raises:
        OddValueError: for any other text.
    """
    if pa.types.is_string(to):
        return texts.cast(to)
    texts = pc.utf8_trim_whitespace(texts)
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    if pa.types.is_timestamp(to):
        is_right = pc.and_(
            pc.equal(pc.binary_length(texts), len(_TIME)),
            pc.equal(pc.utf8_slice_codeunits(texts, 10, 11), " "),
        )
        _require(texts, is_right, f"is not of the form {_TIME}")
        return _cast(texts, to, f"is not of the form {_TIME}")
    numbers = _cast(texts, pa.float64(), "is not a number")
    _require(texts, pc.is_finite(numbers), "is not a number")
    return numbers


def _cast(texts: pa.Array, to: pa.DataType, reason: str) -> pa.Array:
    try:
        return texts.cast(to)
    except pa.ArrowInvalid as error:
        for text in texts.drop_null().unique().to_pylist():
            try:
                pa.scalar(text).cast(to)
            except pa.ArrowInvalid:
                raise OddValueError(text, f"{text!r} {reason}") from error
        raise


def _require(texts: pa.Array, is_right: pa.Array, reason: str) -> None:
    odd = texts.filter(pc.invert(pc.fill_null(is_right, True)))
    if len(odd):
        raise OddValueError(odd[0].as_py(), f"{odd[0].as_py()!r} {reason}")
