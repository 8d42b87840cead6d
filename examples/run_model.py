"""Use a model that rehead made, without rehead: onnxruntime, numpy and Pillow are enough.

python run_model.py model.onnx photo.jpg ...

Prints each photo's name, its class or "unknown", and the probability of the most probable class. This is
all of it for opaque photos; `rehead predict` also puts transparent ones over white and reads 16-bit ones.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1])
model = json.loads(session.get_modelmeta().custom_metadata_map["rehead.manifest"])
side, limits = model["preprocess"]["size"], model["operating_point"]
assert model["preprocess"]["resize"] == "squash", "this script does not crop"
for name in sys.argv[2:]:
    file = Image.open(name)
    file.draft("RGB", (side, side))  # JPEGs: decode no more pixels than needed, as in training
    photo = ImageOps.exif_transpose(file).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    [p], _, [outlier] = session.run(None, {"image": np.asarray(photo)[None]})
    known = p.max() >= limits["probability"] and outlier <= limits["outlier_score"]
    print(name, model["labels"][p.argmax()] if known else "unknown", f"{p.max():.8f}", sep="\t")
