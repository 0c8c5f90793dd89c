"""How much faster are the sentences of a label set encoded when no work is done on empty positions?

    python benchmarks/text.py                                  Kinetics-400 x 16 templates, minutes
    python benchmarks/text.py --labels 40 --rounds 1           a quick look

One thread, random weights; processor time, which leaves out what else a busy machine does. Compared
with open_clip's own encode_text, which runs all 77 positions whatever the sentence. Its work is the
same for every sentence, so it encodes a sample of them and its time is scaled to all (--sample 1:
every sentence). In bfloat16 is what `model.cast(torch.bfloat16)` gives; `precision="bf16"` leaves
texts in float32. Then the same label set from the cache.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from common import report, say, take_turns

from actionclip.data import label_sets
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig
from actionclip.model.prompts.text import AUTHORS_TEMPLATES, make_prompts
from actionclip.model.text_cache import TextCache, encode_cached, weights_fingerprint

BATCH = 256


def build(name: str) -> ActionCLIP:
    """A model with random weights."""
    torch.manual_seed(0)
    architecture = open_clip.get_model_config(name)
    assert architecture is not None, name
    backbone = BackboneConfig(name=name, architecture=architecture)
    return ActionCLIP(
        OpenClipBackbone.from_architecture(architecture), ModelConfig(backbone=backbone)
    ).eval()


def milliseconds(run: Callable[[], object], rounds: int = 9) -> float:
    """Median wall time, the first call left out."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(times[1:]), 1)


def measure_towers(model: ActionCLIP, tokens: torch.Tensor, step: int, rounds: int) -> dict:
    """All 77 positions of every `step`-th sentence, ours, and ours in bfloat16: seconds, errors."""
    clip, half = model.backbone.clip, copy.deepcopy(model).cast(torch.bfloat16)
    sample = tokens[::step]
    results = {}

    def full() -> None:
        parts = [clip.encode_text(batch, normalize=True) for batch in sample.split(BATCH)]
        results["full"] = torch.cat(parts)

    def ours() -> None:
        results["ours"] = model.encode_text(tokens)

    def ours_bf16() -> None:
        results["bf16"] = half.encode_text(tokens)

    for tower in (model, half):
        tower.encode_text(tokens[:BATCH])
    ways = {"full": full, "ours": ours, "bf16": ours_bf16}
    times = take_turns(ways, rounds, warm_up=False)
    scaled = len(tokens) / len(sample)
    cosines = F.cosine_similarity(results["ours"], results["bf16"])
    return {
        "seconds_77_tokens": round(scaled * times.busy_seconds("full"), 2),
        "seconds": round(times.busy_seconds("ours"), 2),
        "seconds_bf16": round(times.busy_seconds("bf16"), 2),
        "times_faster": round(scaled * times.busy_ratio("full", "ours"), 2),
        "times_faster_bf16": round(scaled * times.busy_ratio("full", "bf16"), 2),
        "largest_difference": float((results["full"] - results["ours"][::step]).abs().max()),
        "smallest_cosine_bf16": round(float(cosines.min()), 6),
    }


def measure_cache(model: ActionCLIP, sentences: tuple[str, ...]) -> dict:
    """The same sentences again, from memory and from disk, and what hashing the weights takes."""
    with tempfile.TemporaryDirectory() as folder:
        cache = TextCache(Path(folder))
        start = time.perf_counter()
        weights_fingerprint(model)
        first = 1000 * (time.perf_counter() - start)
        encode_cached(model, sentences, cache)
        return {
            "ms_from_memory": milliseconds(lambda: encode_cached(model, sentences, cache)),
            "ms_from_disk": milliseconds(
                lambda: encode_cached(model, sentences, TextCache(Path(folder)))
            ),
            "ms_fingerprint_once": round(first, 1),
            "ms_fingerprint_again": milliseconds(lambda: weights_fingerprint(model)),
        }


def main() -> None:
    """Measure, and print a line of JSON."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViT-B-16", help="an architecture of open_clip")
    parser.add_argument("--labels", type=int, default=400, help="how many of Kinetics-400")
    parser.add_argument("--templates", type=int, default=16, help="how many of the authors' 16")
    parser.add_argument("--sample", type=int, default=10, help="77 tokens for each N-th sentence")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    torch.set_num_threads(1)
    labels = label_sets.load("kinetics400")[: args.labels]
    prompts = make_prompts(labels, AUTHORS_TEMPLATES[: args.templates])
    model = build(args.model)
    start = time.perf_counter()
    tokens = model.tokenize(list(prompts.sentences))
    tokenized = time.perf_counter() - start
    say(f"{len(tokens)} sentences, the longest has {int(tokens.argmax(1).max()) + 1} tokens")

    with torch.inference_mode():
        towers = measure_towers(model, tokens, args.sample, args.rounds)
        say(f"{towers['times_faster']} times faster, {towers['times_faster_bf16']} in bfloat16")
        cached = measure_cache(model, prompts.sentences)
    say(f"again: {cached['ms_from_memory']} ms from memory, {cached['ms_from_disk']} from disk")
    size = {"model": args.model, "labels": len(labels), "templates": args.templates}
    rest = {"seconds_tokenize": round(tokenized, 2), "threads": torch.get_num_threads()}
    report("text", {**size, **towers, **cached, **rest})


if __name__ == "__main__":
    main()
