"""What people write by hand: a frozen network in ONNX Runtime, Pillow and LogisticRegressionCV.

    python benchmarks/plain_script.py NETWORK PHOTOS MODEL

NETWORK takes `image`, uint8 (N, S, S, 3), and gives a row of features of the last level, as
benchmarks/ladder.py writes it; PHOTOS is a folder of class folders; MODEL is written with joblib. It has no
split by groups, no intervals, no calibration, no "unknown", no report: the least that such a script can do.
"""

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnxruntime
from PIL import Image, ImageOps
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

warnings.simplefilter("ignore", FutureWarning)  # of scikit-learn, about its defaults
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
side = session.get_inputs()[0].shape[1]


def features(path: Path) -> Any:
    with Image.open(path) as file:
        file.draft("RGB", (side, side))
        photo = ImageOps.exif_transpose(file).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return session.run(None, {"image": np.asarray(photo)[None]})[0][0]


paths = sorted(path for path in Path(sys.argv[2]).glob("*/*") if path.is_file())
with ThreadPoolExecutor() as pool:
    X = np.stack(list(pool.map(features, paths)))
y = [path.parent.name for path in paths]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
model = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=7, cv=5, scoring="neg_log_loss"))
model.fit(X_train, y_train)
print(f"accuracy {np.mean(model.predict(X_test) == y_test):.3f} on {len(y_test)} photos")
joblib.dump(model, sys.argv[3])
