"""Under which licence pretrained weights are, where that is known for sure."""

UNKNOWN = "unknown"

_BY_TAG = {
    "openai": "MIT",
    "webli": "Apache-2.0",
    "meta": "Apache-2.0",
    "metaclip": "CC-BY-NC-4.0",
    "dfn": "Apple's own",
}
"""By the beginning of a tag."""

_BY_PLACE = {
    "laion/": "MIT",
    "apple/": "Apple's own",
    "timm/MobileCLIP2": "Apple's own",
    "visheratin/nllb": "CC-BY-NC-4.0",
}
"""By the beginning of a repository's name on the Hub."""


def licence_of(name: str, place: str) -> str:
    """The licence of a model's weights.

    Args:
        name: `architecture/tag`.
        place: the repository on the Hub.

    >>> licence_of("ViT-B-16/datacomp_xl_s13b_b90k", "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K/")
    'MIT'
    """
    tag = name.rpartition("/")[2]
    for start, licence in _BY_PLACE.items():
        if place.startswith(start):
            return licence
    # "meta" is PE-Core's whole tag and also how MetaCLIP's tags begin: longest first.
    for start in sorted(_BY_TAG, key=len, reverse=True):
        if tag == start or (start not in ("meta", "openai", "webli") and tag.startswith(start)):
            return _BY_TAG[start]
    return UNKNOWN
