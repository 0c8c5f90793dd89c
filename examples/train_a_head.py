"""The network is a plain torch module: here a head learns to tell two kinds of noise apart.

    python examples/train_a_head.py

The towers stay as they are, and only the post-network prompt learns, from frame embeddings that are
computed once.
"""

import torch

import actionclip

torch.manual_seed(0)
network = actionclip.load("tiny").model
size = network.config.preprocess.size
with torch.no_grad():
    calm = torch.randn(4, 1, 3, size, size).expand(-1, 8, -1, -1, -1)
    wild = torch.randn(4, 8, 3, size, size)
    frames = network.encode_frames(torch.cat([calm, wild]))
    texts = network.encode_text(["a still picture", "a wild flicker"])
target = torch.tensor([0] * 4 + [1] * 4)

head = torch.nn.Linear(frames.shape[-1], frames.shape[-1])
torch.nn.init.eye_(head.weight)  # to start from what the towers know
optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3)
for step in range(40):
    videos = network.fuse(head(frames))
    loss = torch.nn.functional.cross_entropy(
        network.logit_scale.exp().detach() * videos @ texts.T, target
    )
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step % 10 == 0:
        print(f"step {step:2}  loss {loss.item():.3f}")
