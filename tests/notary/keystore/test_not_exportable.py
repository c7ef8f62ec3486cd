"""A key in hardware does not come out of it: really tried, on a TPM (swtpm) and on a PKCS #11 token (SoftHSM2).

Each attempt is made on a key that may leave, too, so that a refusal is about the key and not about the attempt.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.notary.keystore.benches import Swtpm, new_token, new_tpm


@pytest.fixture
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swtpm]:
    made = new_tpm(tmp_path_factory.mktemp("t"))
    yield made
    made.stop()


@pytest.mark.parametrize("pcrs", ["", "23"])
def test_the_key_is_the_tpms_own(tpm: Swtpm, tmp_path: Path, pcrs: str) -> None:
    """TPM 2.0 part 1, section 25: made in it, and neither it nor its parent may be duplicated."""
    from tpm2_pytss.constants import TPMA_OBJECT

    from device.notary.keystore.tpm import create_tpm_key
    from tests.notary.keystore.benches import boot

    boot(tpm.tcti, b"ours")
    create_tpm_key(tmp_path, tpm.tcti, pcrs)
    attributes = loaded(tpm, tmp_path, lambda context, handle: context.read_public(handle)[0])
    wanted = TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.SENSITIVEDATAORIGIN
    assert attributes.publicArea.objectAttributes & wanted == wanted


def loaded(tpm: Swtpm, keys: Path, do: Any) -> Any:
    """What `do(context, handle)` answers, with the key of a folder loaded into a TPM."""
    from tpm2_pytss.tsskey import TSSPrivKey

    from device.notary.keystore.tpm import KEY_FILE, open_tpm

    context = open_tpm(tpm.tcti)
    try:
        handle = TSSPrivKey.from_pem((keys / KEY_FILE).read_bytes()).load(context)
        answer = do(context, handle)
        context.flush_context(handle)
        return answer
    finally:
        context.close()


def test_the_keys_file_is_worth_nothing_to_another_tpm(
    tpm: Swtpm, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tpm2_pytss.TSS2_Exception import TSS2_Exception

    from device.notary.keystore.tpm import create_tpm_key

    create_tpm_key(tmp_path, tpm.tcti)
    loaded(tpm, tmp_path, lambda _context, _handle: None)
    another = new_tpm(tmp_path_factory.mktemp("t"))
    try:
        with pytest.raises(TSS2_Exception, match="integrity"):
            loaded(another, tmp_path, lambda _context, _handle: None)
    finally:
        another.stop()


def test_the_token_does_not_give_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    name = new_token(tmp_path_factory.mktemp("p"))  # a label has at most 32 characters
    from pkcs11 import Attribute, KeyType, Mechanism
    from pkcs11.exceptions import AttributeSensitive, KeyUnextractable, PKCS11Error
    from pkcs11.util.ec import encode_named_curve_parameters

    from device.notary.keystore.pkcs11 import _private_key, create_pkcs11_key, open_session, parse_uri

    uri = parse_uri(name)
    create_pkcs11_key(uri)
    session = open_session(uri, write=True)
    try:
        key = _private_key(session, uri.object)
        wrapping = session.generate_key(KeyType.AES, 256)
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        domain = session.create_domain_parameters(KeyType.EC, curve, local=True)
        open_template = {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}
        _, control = domain.generate_keypair(private_template=open_template)
        assert len(control[Attribute.VALUE]) == 32
        assert wrapping.wrap_key(control, mechanism=Mechanism.AES_KEY_WRAP_PAD)
        with pytest.raises(AttributeSensitive):
            key[Attribute.VALUE]
        with pytest.raises(KeyUnextractable):
            wrapping.wrap_key(key, mechanism=Mechanism.AES_KEY_WRAP_PAD)
        with pytest.raises(PKCS11Error):
            key[Attribute.EXTRACTABLE] = True
        assert not key[Attribute.EXTRACTABLE]
    finally:
        session.close()
