"""The authors' recorded trainings, step by step."""

import numpy as np
import pytest
import torch

from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.training import OptimConfig, ScheduleConfig, build_optimizer, contrastive_loss
from actionclip.training.optimiser import set_rates
from actionclip.training.schedule import factor_at_step
from actionclip.video.settings import Sampling
from reference_weights import CONFIGS, canonical, image_input, load_reference


@pytest.mark.parametrize("post", ["meanP", "transf"])
def test_the_recorded_training_is_reproduced(golden, post):
    recorded = golden(f"train_{post}")
    backbone = OpenClipBackbone.from_architecture(CONFIGS["s1"])
    settings = ModelConfig(
        backbone=BackboneConfig(name="reference", architecture=CONFIGS["s1"]),
        prompts=PromptConfig(post=post.lower()),
        sampling=Sampling(frames=4),
    )
    model = load_reference(ActionCLIP(backbone, settings))
    table = torch.tensor(golden("prompt_tokens")["classes_tokens"], dtype=torch.int64)
    classes = len(table) // 16
    optimizer = build_optimizer(model, OptimConfig(lr=2e-4))
    schedule = ScheduleConfig(epochs=4, warmup_epochs=1, schedule="authors")
    sizes = [len(group["params"]) for group in optimizer.param_groups]

    losses, rates = [], []
    for step, row in enumerate(torch.tensor(recorded["list_and_text_ids"])):
        labels, templates = row.split(4)
        set_rates(optimizer, factor_at_step(schedule, step, 6))
        frames = image_input(5000 + step, 16, 32).unflatten(0, (4, 4))
        video = model.encode_video(frames)
        text = model.encode_text(table[templates * classes + labels])
        loss = contrastive_loss(video, text, labels, model.logit_scale.exp())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        rates.append([group["lr"] for group in optimizer.param_groups])

    assert sizes == recorded["group_sizes"].tolist()
    np.testing.assert_allclose(losses, recorded["losses"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(rates, recorded["lrs"], rtol=1e-12, atol=0)
    ours = {canonical(name)[1]: p.detach().double() for name, p in model.named_parameters()}
    for key, total, norm in zip(
        *(recorded[k].tolist() for k in ("final_keys", "final_sums", "final_norms")), strict=True
    ):
        assert ours[key].norm().item() == pytest.approx(norm, rel=1e-4), key
        assert ours[key].sum().item() == pytest.approx(total, abs=1e-4 * norm), key
    final = ours["visual.class_embedding"].numpy()
    np.testing.assert_allclose(final, recorded["final_class_embedding"], atol=1e-4, rtol=0)
    assert ours["logit_scale"].item() == pytest.approx(float(recorded["final_logit_scale"]))
