"""One small pair of towers of each kind that open_clip builds, random weights."""

TEXT = {"width": 64, "heads": 1, "layers": 2}


def _timm(name, size, pool, projection):
    return {
        "image_size": size,
        "timm_model_name": name,
        "timm_pool": pool,
        "timm_proj": projection,
    }


ARCHITECTURES = {
    "vit": {  # OpenAI's
        "embed_dim": 64,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2},
        "text_cfg": TEXT,
    },
    "resnet": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32},
        "text_cfg": TEXT,
    },
    "convnext": {
        "embed_dim": 64,
        "vision_cfg": _timm("convnext_atto", 64, "", "linear"),
        "text_cfg": TEXT,
    },
    "pe": {  # rotary positions, attention pooling, short sentences
        "embed_dim": 64,
        "custom_text": True,
        "vision_cfg": _timm("vit_pe_core_tiny_patch16_384", 384, "map", None),
        "text_cfg": {**TEXT, "context_length": 32},
    },
    "siglip": {  # a bias, a text tower that reads both ways, a tokenizer of its own
        "embed_dim": 192,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": _timm("vit_tiny_patch16_224", 224, "avg", "none"),
        "text_cfg": {
            **TEXT,
            "context_length": 16,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "hf_tokenizer_name": "somebody/tokenizer",
            "tokenizer_kwargs": {"clean": "canonicalize"},
        },
    },
    "coca": {
        "embed_dim": 64,
        "custom_text": True,
        "multimodal_cfg": {"context_length": 76, "width": 64, "heads": 1, "layers": 1},
        "vision_cfg": {
            "image_size": 32,
            "patch_size": 8,
            "width": 64,
            "layers": 2,
            "attentional_pool": True,
            "attn_pooler_heads": 1,
            "output_tokens": True,
        },
        "text_cfg": {**TEXT, "context_length": 76, "embed_cls": True, "output_tokens": True},
    },
}
