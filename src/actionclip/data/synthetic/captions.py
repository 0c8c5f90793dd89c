"""Sentences about a clip: what somebody does, how, and where to, in more words than one.

The first phrase of an action is its name, the field's own words for it; the others mean the same.
"""

import numpy as np

from actionclip.data.synthetic.clips import ClipInfo

Random = np.random.Generator

PHRASES: dict[str, tuple[str, ...]] = {
    "walking": ("walking", "strolling", "going on foot"),
    "running": ("running", "jogging", "sprinting"),
    "running on the spot": ("running on the spot", "jogging on the spot", "running in place"),
    "skipping": ("skipping", "hopping along", "skipping along"),
    "galloping sideways": ("galloping sideways", "side-stepping", "shuffling sideways"),
    "hopping on one foot": ("hopping on one foot", "hopping on one leg", "jumping on one leg"),
    "jumping forward on two legs": (
        *("jumping forward on two legs", "jumping forward", "hopping forward with both feet"),
    ),
    "marching": ("marching", "walking with the knees high", "marching like a soldier"),
    "limping": ("limping", "walking with a limp", "hobbling"),
    "tiptoeing": ("tiptoeing", "sneaking", "walking on tiptoe"),
    "walking backwards": ("walking backwards", "stepping backwards", "going backwards"),
    "crawling": ("crawling", "crawling on hands and knees", "going on all fours"),
    "climbing a ladder": ("climbing a ladder", "climbing up", "going up a ladder"),
    "jumping jacks": ("jumping jacks", "doing jumping jacks", "doing star jumps"),
    "jumping in place on two legs": (
        *("jumping in place on two legs", "jumping in place", "jumping up and down"),
    ),
    "squatting": ("squatting", "doing squats", "bending the knees"),
    "lunging": ("lunging", "doing lunges", "stepping forward into a lunge"),
    "kicking": ("kicking", "giving a kick", "kicking into the air"),
    "boxing": ("boxing", "punching", "throwing punches"),
    "doing push-ups": ("doing push-ups", "doing press-ups", "push-ups"),
    "doing sit-ups": ("doing sit-ups", "sit-ups", "doing crunches"),
    "doing a cartwheel": ("doing a cartwheel", "turning a cartwheel", "cartwheeling"),
    "stretching to the sides": (
        *("stretching to the sides", "stretching", "leaning from side to side"),
    ),
    "circling the arms": ("circling the arms", "swinging the arms in circles", "arm circles"),
    "bringing elbows to knees": (
        *("bringing elbows to knees", "touching knees with elbows", "doing standing crunches"),
    ),
    "spinning": ("spinning", "spinning round and round", "twirling"),
    "turning round": ("turning round", "turning around", "making a half turn"),
    "dancing": ("dancing", "dancing to music", "moving to a beat"),
    "standing still": ("standing still", "standing", "waiting"),
    "waving one hand": ("waving one hand", "waving a hand", "waving with one arm"),
    "waving both hands": ("waving both hands", "waving two hands", "waving with both arms"),
    "clapping": ("clapping", "clapping hands", "applauding"),
    "pointing": ("pointing", "pointing at something", "pointing with a finger"),
    "drinking": ("drinking", "drinking from a cup", "taking a drink"),
    "talking on the phone": ("talking on the phone", "phoning", "making a phone call"),
    "bowing": ("bowing", "taking a bow", "making a bow"),
    "nodding": ("nodding", "nodding the head", "saying yes with the head"),
    "shaking the head": (
        "shaking the head",
        "saying no with the head",
        "turning the head to and fro",
    ),
    "raising both arms": ("raising both arms", "lifting both arms", "putting both arms up"),
    "lowering both arms": ("lowering both arms", "putting both arms down", "dropping both arms"),
    "shrugging": ("shrugging", "giving a shrug", "shrugging the shoulders"),
    "beckoning": ("beckoning", "calling somebody over with a hand", "beckoning with one hand"),
    "bending down": ("bending down", "bending over", "stooping to the ground"),
    "sitting down": ("sitting down", "taking a seat", "sitting down on a stool"),
    "standing up": ("standing up", "getting up from a seat", "rising from a stool"),
    "kneeling down": ("kneeling down", "going down on the knees", "kneeling"),
    "rising from the knees": (
        *("rising from the knees", "getting up from the knees", "standing up from kneeling"),
    ),
    "lying down": ("lying down", "lying down on the floor", "lying down on the back"),
    "getting up from the floor": (
        *("getting up from the floor", "getting up from the ground", "rising from lying"),
    ),
    "falling down": ("falling down", "falling", "falling to the ground"),
    "picking up a box": ("picking up a box", "picking up", "lifting a box off the floor"),
    "putting down a box": ("putting down a box", "putting down", "setting a box on the floor"),
    "carrying a box": ("carrying a box", "carrying", "walking with a box"),
    "lifting a weight": ("lifting a weight", "lifting", "weightlifting"),
    "throwing a ball": ("throwing a ball", "throwing", "pitching a ball"),
    "catching a ball": ("catching a ball", "catching", "catching something"),
    "pushing": ("pushing", "pushing something heavy", "pushing a crate"),
    "pulling": ("pulling", "pulling something heavy", "dragging a crate"),
    "sweeping the floor": ("sweeping the floor", "sweeping", "sweeping with a broom"),
}
"""By action: its name, and others for it."""

HANDED = {
    **dict.fromkeys(
        ("waving one hand", "pointing", "drinking", "beckoning", "throwing a ball"), "hand"
    ),
    **{"kicking": "foot", "hopping on one foot": "foot", "talking on the phone": "hand"},
}
"""What one side of the body does alone."""

_WHO = ("a person", "someone", "somebody", "a human", "one person")
_SAYS = {
    "slowly": ("slowly", "at a slow pace", "without hurry"),
    "quickly": ("quickly", "fast", "at a quick pace"),
    "to the left": ("to the left", "towards the left", "leftwards"),
    "to the right": ("to the right", "towards the right", "rightwards"),
    "towards the camera": ("towards the camera", "towards the viewer", "closer"),
    "away from the camera": ("away from the camera", "into the distance", "away"),
}
_SHAPES = (
    "{who} is {doing}{rest}",
    "{who} {doing}{rest}",
    "a video of {who} {doing}{rest}",
    "a clip of {who} who is {doing}{rest}",
    "this is {doing}{rest}",
    "in this video, {who} is {doing}{rest}",
    "{doing}{rest}",
)


def captions(info: ClipInfo, rng: Random, *, count: int = 4) -> list[str]:
    """Different sentences about a clip; the first has the action's own name in it.

    Args:
        info: what the clip shows.
        rng: where chance comes from.
        count: how many sentences.
    """
    phrases = PHRASES[info.action]
    found = [_sentence(info, phrases[0], rng)]
    while len(found) < count:
        sentence = _sentence(info, phrases[int(rng.integers(len(phrases)))], rng)
        if sentence not in found:
            found.append(sentence)
    return found


def _sentence(info: ClipInfo, doing: str, rng: Random) -> str:
    """One, that tells some of what there is to tell."""
    told = rng.random(4) < (0.6, 0.6, 0.4, 0.2)
    rest = ""
    if info.direction and told[0]:
        rest += " " + _said(info.direction, rng)
    if info.action in HANDED and told[1]:
        rest += f" with the {info.side} {HANDED[info.action]}"
    if info.tempo and told[2]:
        rest += " " + _said(info.tempo, rng)
    if info.view and told[3]:
        rest += ", seen from behind" if info.view == "the back" else f", seen from {info.view}"
    who = _WHO[int(rng.integers(len(_WHO)))]
    return _SHAPES[int(rng.integers(len(_SHAPES)))].format(who=who, doing=doing, rest=rest)


def _said(word: str, rng: Random) -> str:
    ways = _SAYS[word]
    return ways[int(rng.integers(len(ways)))]
