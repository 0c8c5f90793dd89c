"""Why a model answered as it did: which frames, where in them, and which sentence."""
