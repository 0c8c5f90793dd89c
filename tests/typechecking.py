"""The checker behind every annotation in tests: an int may stand where a float is written."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
