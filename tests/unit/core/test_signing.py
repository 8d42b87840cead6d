from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.core.model_file import read_model_file, signature_of, signed, write_model_file
from rehead.core.signing import check_signature, read_private_key, sign_model_file
from rehead.errors import DataError, ModelFileError, NotSignedError

MANIFEST: dict[str, Any] = {
    "kind": "classifier",
    "labels": ["a", "b"],
    "operating_point": {"coverage": 0.95, "probability": 0.5, "outlier_score": 12.25, "photos": 9},
    "preprocess": {"size": 32},
}
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def write_keys(folder: Path, name: str, key: Any = None) -> tuple[Path, Path]:
    """A private key and its public one, PEM files."""
    key = key or ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}-public.pem"
    private.write_bytes(key.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def model(tmp_path: Path, tiny_onnx: Path) -> Path:
    path = tmp_path / "mödel 1.onnx"
    write_model_file(path, tiny_onnx.read_bytes(), MANIFEST)
    return path


def test_a_signed_file_is_told_from_one_signed_by_somebody_else(model: Path, tmp_path: Path) -> None:
    (private, public), (_, other) = write_keys(tmp_path, "mine"), write_keys(tmp_path, "other")
    with pytest.raises(NotSignedError, match=r"mödel 1\.onnx: not signed; "):
        check_signature(read_model_file(model), public)
    before = read_model_file(model)
    sign_model_file(model, read_private_key(private))
    after = read_model_file(model)
    check_signature(after, public)
    assert (after.digest, after.manifest) == (before.digest, before.manifest)
    with pytest.raises(NotSignedError, match=r"not signed with the key of .*other-public\.pem"):
        check_signature(after, other)


def test_a_signed_file_still_runs_and_is_signed_again_without_growing(model: Path, tmp_path: Path) -> None:
    (first, _), (second, public) = write_keys(tmp_path, "first"), write_keys(tmp_path, "second")
    sign_model_file(model, read_private_key(first))
    size = model.stat().st_size
    sign_model_file(model, read_private_key(second))
    assert model.stat().st_size == size
    check_signature(read_model_file(model), public)
    assert onnxruntime.InferenceSession(model).get_inputs()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_byte_of_a_signed_file_can_be_changed(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, tiny_onnx: Path
) -> None:
    folder = tmp_path_factory.mktemp("signed")
    private, public = write_keys(folder, "key")
    path = folder / "model.onnx"
    write_model_file(path, tiny_onnx.read_bytes(), MANIFEST)
    sign_model_file(path, read_private_key(private))
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    with pytest.raises(ModelFileError):
        check_signature(read_model_file(path), public)


def test_the_signature_is_of_one_model_only(model: Path, tmp_path: Path, tiny_onnx: Path) -> None:
    private, public = write_keys(tmp_path, "key")
    sign_model_file(model, read_private_key(private))
    signature = signature_of(read_model_file(model))
    write_model_file(model, tiny_onnx.read_bytes(), {**MANIFEST, "labels": ["b", "a"]})
    assert signature is not None
    model.write_bytes(signed(read_model_file(model), signature))
    with pytest.raises(NotSignedError, match="not signed with the key"):
        check_signature(read_model_file(model), public)


def test_what_is_no_key_is_said(model: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "curve", ec.generate_private_key(ec.SECP256R1()))
    sign_key, _ = write_keys(tmp_path, "good")
    sign_model_file(model, read_private_key(sign_key))
    with pytest.raises(DataError, match="another kind; expected Ed25519"):
        read_private_key(private)
    with pytest.raises(DataError, match="another kind; expected Ed25519"):
        check_signature(read_model_file(model), public)
    with pytest.raises(DataError, match=r"mödel 1\.onnx: no private key in PEM.*openssl genpkey"):
        read_private_key(model)
    with pytest.raises(DataError, match=r"no public key in PEM.*openssl pkey"):
        check_signature(read_model_file(model), sign_key)
    with pytest.raises(DataError, match=r"none\.pem: cannot be read"):
        read_private_key(tmp_path / "none.pem")
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            PEM, PKCS8, serialization.BestAvailableEncryption(b"secret")
        )
    )
    with pytest.raises(DataError, match="without a password"):
        read_private_key(locked)
