"""Synthetic people: articulated figures that are drawn while they do everyday actions.

`figure` is the skeleton, `curves` the shapes of movements over time, `actions` the movements,
`render` the body and the camera, `scenery` what is behind it, and `clips` puts them together.
"""
