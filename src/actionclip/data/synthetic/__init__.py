"""Synthetic people: articulated figures that are drawn while they do everyday actions.

`figure` is the skeleton, `curves` the shapes of movements over time, `actions` the movements;
`draw` has camera, body, things, places, light and lens; `clips` puts them together, `captions`
says what is to be seen, `files` writes one video and `dataset` many.
"""
