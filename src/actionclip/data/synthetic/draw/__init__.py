"""How people get into pictures: camera, body, clothes, things, places, light and lens.

Space: X to the right, Y away from the camera, Z up, in metres; the person is about at the origin.
"""
