"""The README.md of a folder for the Hugging Face hub."""

import json
from collections.abc import Mapping
from typing import Any

USE = {
    "timm": """import timm, torch
from PIL import Image

model = timm.create_model("local-dir:{name}", pretrained=True).eval()
config = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**config, is_training=False)
image = transform(Image.open("image.jpg").convert("RGB"))
with torch.no_grad():
    {output} = model(image[None])
""",
    "transformers": """import torch
from PIL import Image
from transformers import AutoImageProcessor, {auto}

processor = AutoImageProcessor.from_pretrained("{name}")
model = {auto}.from_pretrained("{name}").eval()
inputs = processor(Image.open("image.jpg"), return_tensors="pt")
with torch.no_grad():
    outputs = model(**inputs)
{output}
""",
}


def model_card(
    library: str, name: str, config: Mapping[str, Any], card: Mapping[str, Any]
) -> str:
    """What the folder says of itself.

    Args:
        library: "timm" or "transformers".
        name: of the folder.
        config: the content of its config.json.
        card: of the export.
    """
    classifier = card.get("what") == "classifier"
    task = "image-classification" if classifier else "image-feature-extraction"
    method = card.get("method") or {}
    encoder = card.get("encoder") or {}
    auto = "AutoModelForImageClassification" if classifier else "AutoModel"
    if library == "timm":
        output = "scores" if classifier else "vectors"
    elif classifier:
        output = "print(model.config.id2label[outputs.logits.argmax(-1).item()])"
    elif config["model_type"] == "resnet":
        output = "vectors = outputs.pooler_output.flatten(1)"
    else:
        output = "vectors = outputs.last_hidden_state[:, 0]  # The class token."
    use = USE[library].format(name=name, auto=auto, output=output)
    link = f"[jax_ssl](https://pypi.org/project/jax_ssl/) {card.get('library')}"
    origin = f"trained with {link} by the method {method.get('name')}"
    if card.get("step") is None:
        origin = f"of weights ({method.get('name')}) that {link} has imported"
    else:
        origin += f", as it was at step {card['step']}"
    cut = ""
    if library == "transformers":
        # Half a pixel is rounded to the even number in ours, and down in theirs.
        cut = (
            "\nWhere 3, 7, 11 … pixels of a side are cut away, transformers cuts the "
            "middle one\npixel further up or left than the run did.\n"
        )
    told = json.dumps({"encoder": encoder, "method": method}, indent=2)
    seen = json.dumps(card.get("input") or {}, indent=2)
    return f"""---
library_name: {library}
pipeline_tag: {task}
tags:
- {task}
- self-supervised-learning
- jax
---

# {name}

{encoder.get("name")}, {card.get("parameters", 0):,} parameters, {origin}.

```python
{use}```

## Training

```json
{told}
```

## Preprocessing

Images are prepared as in the evaluation of the run:

```json
{seen}
```
{cut}
SHA-256 of the exported arrays: `{card.get("sha256")}`.
"""
