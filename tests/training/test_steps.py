"""One step: the same gradient however it is computed, and only what is to learn learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actionclip.errors import ActionCLIPError
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig
from actionclip.model.prompts.text import fill
from actionclip.model.weights.folder import load_folder
from actionclip.training import Example, LoraConfig, OptimConfig, ScheduleConfig
from actionclip.training.ranks import Ranks
from actionclip.training.run.batches import Batches, Texts, order
from actionclip.training.run.step import Average, find_gradients
from actionclip.training.schedule import factor
from actionclip.training.trained import checkpointed, choose_trained, set_training_mode
from actionclip.video.transforms import as_input, normalise
from architectures import ARCHITECTURES
from training_runs import SETTINGS, Colours, fingerprint, metrics, run, small_model

SHORT = replace(SETTINGS, schedule=ScheduleConfig(epochs=1, warmup_epochs=0))


def batches(source, settings=SETTINGS, model=None, ranks=Ranks()):  # noqa: B008
    model = model or small_model()
    texts = Texts(model, source.labels, settings)
    return Batches(source, texts, settings, ranks)


def gradients(settings, source=None, **prompts):
    model = small_model(**prompts)
    choose_trained(model, settings)
    set_training_mode(model)
    source = source or Colours()
    batch = next(batches(source, settings, model).epoch(0))
    with checkpointed(model, settings.activation_checkpointing):
        loss = find_gradients(model, batch, settings, step=5)
    return loss.item(), {name: p.grad for name, p in model.named_parameters()}


def assert_same(ours, theirs, **tolerance):
    assert ours[0] == pytest.approx(theirs[0], rel=tolerance.get("rtol", 1e-5))
    for name, gradient in theirs[1].items():
        if gradient is None:
            assert ours[1][name] is None, name
        else:
            torch.testing.assert_close(ours[1][name], gradient, **tolerance, msg=name)


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("loss", ["kl", "info_nce"])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(parts, loss):
    whole = gradients(replace(SETTINGS, loss=loss), post="transf")

    assert_same(
        gradients(replace(SETTINGS, loss=loss, accumulate=parts), post="transf"),
        whole,
        rtol=1e-4,
        atol=1e-6,
    )


def test_a_part_that_is_encoded_twice_drops_the_same_units_out():
    """With dropout, the second pass must draw what the first did, or the loss is another's."""
    settings = replace(SETTINGS, batch_size=4, accumulate=2)
    first, second = (gradients(settings, post="transf_cls") for _ in range(2))

    assert_same(first, second, rtol=0, atol=0)
    undivided = gradients(replace(settings, accumulate=1), post="transf_cls")
    assert undivided[0] != first[0]  # parts draw for themselves


def test_pixels_that_travel_as_bytes_give_the_bits_of_normalised_ones():
    class Numbers(Colours):
        def __getitem__(self, key):
            example = super().__getitem__(key)
            numbers = normalise(example.frames, small_model().config.preprocess)
            return replace(example, frames=numbers)

    assert next(batches(Colours()).epoch(0)).frames.dtype == torch.uint8

    assert_same(gradients(SETTINGS), gradients(SETTINGS, Numbers()), rtol=0, atol=0)


@pytest.mark.parametrize("prompts", [{"post": "transf"}, {"inner": "shift"}, {"pre": "joint"}])
def test_activation_checkpointing_changes_no_gradient(prompts):
    plain = gradients(SETTINGS, **prompts)

    again = gradients(replace(SETTINGS, activation_checkpointing=True), **prompts)

    assert_same(again, plain, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_activation_checkpointing_keeps_less_of_every_kind_of_tower(name):
    """And gives the same gradients; a tower that only takes note of the wish keeps as much."""
    plain, whole = kept_and_learnt(name, saving=False)

    less, again = kept_and_learnt(name, saving=True)

    assert less < 0.8 * plain
    assert again.keys() == whole.keys()
    for parameter, gradient in whole.items():
        torch.testing.assert_close(again[parameter], gradient, rtol=1e-5, atol=1e-6, msg=parameter)


def kept_and_learnt(name, saving):
    """Bytes kept for the backward pass of the image tower, and its gradients."""
    torch.manual_seed(0)
    backbone = OpenClipBackbone.from_architecture(ARCHITECTURES[name]).train()
    model = ActionCLIP(backbone, ModelConfig(backbone=BackboneConfig(name=name, architecture={})))
    frames = torch.randn(1, 2, 3, backbone.image_size, backbone.image_size)
    storages = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with checkpointed(model, saving):
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            vectors = backbone.encode_frames(frames)
        vectors.square().sum().backward()
    weights = {value.untyped_storage().data_ptr() for value in model.parameters()}
    kept = sum(size for place, size in storages.items() if place not in weights)
    return kept, {
        name: value.grad
        for name, value in backbone.visual.named_parameters()
        if value.grad is not None
    }


def test_bfloat16_is_close_and_leaves_weights_in_float32(tmp_path):
    loss, _ = gradients(SETTINGS, post="transf")
    mixed, found = gradients(replace(SETTINGS, precision="bf16"), post="transf")

    assert mixed != loss
    assert mixed == pytest.approx(loss, rel=0.05)
    assert {gradient.dtype for gradient in found.values() if gradient is not None} == {
        torch.float32
    }
    run(tmp_path, replace(SHORT, precision="bf16"))
    losses = metrics(tmp_path).values()
    assert all(np.isfinite(list(losses)))


def test_videos_with_several_labels_and_captions_are_trained_too(tmp_path):
    run(tmp_path / "several", SHORT, Colours(several=True))

    class Captions(Colours):
        labels = ()

        def __getitem__(self, key):
            example = super().__getitem__(key)
            return Example(example.frames, key[0], f"caption {key[0]}")

    run(tmp_path / "captions", replace(SHORT, loss="info_nce"), Captions())
    for name in ("several", "captions"):
        assert len(metrics(tmp_path / name)) == 5
    assert load_folder(tmp_path / "captions" / "last").config.labels == ()


def start_and_end(tmp_path, settings, **prompts):
    model = small_model(**prompts)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run(tmp_path, settings, model=model)
    return before, model.state_dict()


def test_prompts_only_leaves_the_towers_as_they_are(tmp_path):
    before, after = start_and_end(tmp_path, replace(SHORT, train="prompts"), post="transf")

    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("post.") for name in changed)


def test_prompts_only_needs_a_prompt(tmp_path):
    with pytest.raises(ActionCLIPError, match="nothing to train"):
        run(tmp_path, replace(SHORT, train="prompts"), model=small_model())


def test_fix_text_leaves_the_text_tower_as_it_is(tmp_path):
    before, after = start_and_end(tmp_path, replace(SHORT, fix_text=True), post="transf")

    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert "backbone.clip.logit_scale" in changed
    text = changed - {"backbone.clip.logit_scale"}
    assert text
    assert all(name.startswith(("post.", "backbone.clip.visual.")) for name in text)


def test_everything_is_trained_by_default(tmp_path):
    before, after = start_and_end(tmp_path, SHORT, post="transf")

    same = {name for name in after if torch.equal(before[name], after[name])}
    assert same <= {"backbone.clip.attn_mask"}


def test_frozen_parts_do_not_drop_units_out():
    model = small_model(post="transf_cls")
    choose_trained(model, replace(SETTINGS, train="prompts"))

    set_training_mode(model)

    assert model.post.training
    assert not any(module.training for module in model.backbone.modules())


def test_the_scale_stays_below_its_limit(tmp_path):
    run(tmp_path, replace(SHORT, largest_scale=10.0, optim=OptimConfig(lr=1e-2)))

    scales = list(metrics(tmp_path, "scale").values())
    assert max(scales) <= 10.0001


@pytest.mark.parametrize("more", [{"train": "prompts"}, {"lora": LoraConfig()}])
def test_a_limit_does_not_move_a_scale_that_stays_as_it_is(tmp_path, more):
    """A run that goes on would begin with the scale of the start again, at other weights."""

    def crash(line):
        if line["step"] == 3:
            raise KeyboardInterrupt

    settings = replace(SHORT, largest_scale=10.0, **more)
    whole, _ = run(tmp_path / "whole", settings, model=small_model(post="transf"))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", settings, model=small_model(post="transf"), report=crash)

    again, _ = run(tmp_path / "broken", settings, model=small_model(post="transf"))

    start = small_model().logit_scale.exp().item()
    assert list(metrics(tmp_path / "whole", "scale").values()) == pytest.approx([start] * 5)
    assert metrics(tmp_path / "broken", "scale") == metrics(tmp_path / "whole", "scale")
    assert again == whole


def test_a_long_gradient_is_shortened(tmp_path):
    sgd = OptimConfig(optimiser="sgd", lr=1.0, momentum=0.0, weight_decay=0.0)
    sgd = replace(sgd, prompt_lr_scale=1.0)
    one = replace(
        SHORT, optim=sgd, clip_norm=1e-3, schedule=ScheduleConfig(epochs=1, warmup_epochs=0)
    )
    model = small_model()
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])

    run(tmp_path, one, Colours(4), model)

    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    rate = metrics(tmp_path, "lr")[1]
    assert metrics(tmp_path, "gradient")[1] > 1e-3
    assert (after - before).norm().item() == pytest.approx(rate * 1e-3, rel=1e-3)


def test_averaged_weights_by_hand(tmp_path):
    model = small_model()
    average = Average(model, 0.75)
    start = model.logit_scale.item()
    with torch.no_grad():
        model.logit_scale.add_(1.0)

    average.update(model)

    assert average.values["backbone.clip.logit_scale"].item() == pytest.approx(start + 0.25)
    with average.in_place_of(model):
        assert model.logit_scale.item() == pytest.approx(start + 0.25)
    assert model.logit_scale.item() == pytest.approx(start + 1)


def test_averages_are_what_is_evaluated_and_saved(tmp_path):
    seen = []
    plain, _ = run(tmp_path / "plain", SHORT)

    averaged, _ = run(
        tmp_path / "averaged",
        replace(SHORT, ema=0.9),
        evaluate=lambda model: {"n": float(len(seen.append(fingerprint(model)) or seen))},
    )

    assert averaged != plain
    assert seen == [averaged]
    assert fingerprint(load_folder(tmp_path / "averaged" / "last")) == averaged
    assert metrics(tmp_path / "averaged") == metrics(tmp_path / "plain")


@given(
    clips=st.integers(1, 200),
    batch=st.integers(1, 16),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
)
def test_an_epoch_shows_each_video_once_but_for_the_rest_of_a_batch(clips, batch, seed, epoch):
    if clips < batch:
        with pytest.raises(ActionCLIPError, match="a batch has"):
            order(clips, batch, seed, epoch)
        return
    rows = order(clips, batch, seed, epoch)

    assert rows.shape == (clips // batch, batch)
    assert len(set(rows.flatten().tolist())) == rows.size
    assert set(rows.flatten().tolist()) <= set(range(clips))
    assert (order(clips, batch, seed, epoch) == rows).all()


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {order(50, 5, *key).tobytes() for key in [(0, 0), (0, 1), (1, 0), (1, 1)]}

    assert len(orders) == 4


def test_processes_share_each_batch_and_it_does_not_matter_how_many_there_are():
    source = Colours()
    whole = list(batches(source).epoch(1))
    shares = [list(batches(source, ranks=Ranks(rank, 2)).epoch(1)) for rank in range(2)]

    for step, batch in enumerate(whole):
        for field in ("frames", "labels", "tokens", "text_labels"):
            parts = torch.cat([getattr(share[step], field) for share in shares])
            assert torch.equal(parts, getattr(batch, field))


def test_an_epoch_can_begin_in_the_middle():
    source = Colours()
    whole = list(batches(source).epoch(2))

    rest = list(batches(source).epoch(2, start=3))

    assert len(rest) == len(whole) - 3
    assert all(torch.equal(a.frames, b.frames) for a, b in zip(rest, whole[3:], strict=True))
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(rest, whole[3:], strict=True))


def test_sentences_are_templates_filled_with_the_labels_of_the_videos():
    source, model = Colours(60), small_model()
    settings = replace(SETTINGS, batch_size=60, templates=("{}", "a {} thing"))

    [batch] = batches(source, settings, model).epoch(0)

    table = model.tokenize(fill(("{}", "a {} thing"), source.labels))
    found = (batch.tokens[:, None] == table[None]).all(-1).nonzero()[:, 1]
    assert len(found) == 60
    assert torch.equal(found % 3, batch.labels)
    assert torch.equal(batch.text_labels, batch.labels)
    assert 15 <= (found < 3).sum() <= 45  # both templates are drawn


def test_a_video_with_several_labels_gets_a_sentence_about_one_of_them():
    [batch] = batches(Colours(60, several=True), replace(SETTINGS, batch_size=60)).epoch(0)

    named = batch.labels.gather(1, batch.text_labels[:, None])
    assert (named > 0).all()
    assert batch.labels.shape == (60, 3)


def test_pixels_are_normalised_and_numbers_are_not():
    source, model = Colours(4), small_model()

    [batch] = batches(source, model=model).epoch(0)

    mean = torch.tensor(model.config.preprocess.mean)[:, None, None]
    std = torch.tensor(model.config.preprocess.std)[:, None, None]
    [row] = order(4, 4, SETTINGS.seed, 0)
    expected = (source[int(row[0]), 0].frames / 255 - mean) / std
    found = as_input(batch.frames, model.config.preprocess, model.device)
    torch.testing.assert_close(found[0], expected)

    class Ready(Colours):
        def __getitem__(self, key):
            return Example(torch.full((2, 3, 16, 16), 7.0), 0)

    [batch] = batches(Ready(4)).epoch(0)
    assert (as_input(batch.frames, model.config.preprocess, model.device) == 7).all()


def test_an_error_in_the_source_reaches_the_caller(tmp_path):
    class Broken(Colours):
        def __getitem__(self, key):
            raise ActionCLIPError("This video is gone.")

    with pytest.raises(ActionCLIPError, match="gone"):
        run(tmp_path, SHORT, Broken())


def test_a_batch_that_cannot_be_shared_out_is_refused():
    with pytest.raises(ActionCLIPError, match="3 processes in 1 equal parts"):
        batches(Colours(), ranks=Ranks(0, 3))


@pytest.mark.parametrize(
    ("more", "rate"),
    [
        ({}, 1e-3),
        ({"train": "prompts"}, 1e-2),
        ({"fix_text": True}, 1e-3),
        ({"lora": LoraConfig(towers=("image",))}, 1e-4),
    ],
)
def test_the_rate_that_is_written_down_is_one_that_learns(tmp_path, more, rate):
    settings = replace(SHORT, optim=OptimConfig(lr=1e-3, visual_lr_scale=0.1), **more)

    run(tmp_path, settings, model=small_model(post="transf"))

    assert metrics(tmp_path, "lr")[1] == pytest.approx(rate * factor(SHORT.schedule, 0.1))
