"""Fields of an example that follow its image through a view."""

from collections.abc import Sequence

from jax_ssl.core.fields import Fields


def carried_fields(
    recipe: str,
    fields: Fields,
    carried: Sequence[str],
    kinds: Sequence[str],
    *,
    all_there: bool = True,
) -> Fields:
    """What the examples hold, if the carried fields among them can follow.

    Args:
        recipe: name of the view, for the message.
        fields: what the examples hold.
        carried: names of the fields that follow.
        kinds: that can follow in this view.
        all_there: whether each of `carried` must be there.

    Raises:
        ValueError: if one is not there, or is of a kind that does not follow.
    """
    for name in carried:
        if name not in fields:
            if all_there:
                raise ValueError(
                    f"{recipe}: carried = {carried}, but the examples have no "
                    f"{name!r}, only {sorted(fields)}."
                )
        elif fields[name].kind not in kinds:
            raise ValueError(
                f"{recipe}: carried = {carried}, but {name!r} is of kind "
                f"{fields[name].kind!r}; what follows is {', '.join(kinds)}."
            )
    return fields
