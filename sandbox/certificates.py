"""A small certificate authority, and one certificate for each of its names."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.stores import write_private

AUTHORITY_LIFE: Final = timedelta(days=3650)
LIFE: Final = timedelta(days=365)
RENEWED_BEFORE: Final = timedelta(days=60)
"""A certificate with less life than this is made anew the next time somebody asks for it."""

# Clocks of two machines differ a little.
_BACKDATED: Final = timedelta(hours=1)


def make_all(folder: Path, *, servers: Iterable[str], callers: Iterable[str], now: datetime) -> None:
    """Make the authority and every certificate that is missing or ends soon.

    Writes `ca.pem`, `ca.key`, and `<name>.pem`, `<name>.key` for each name.

    Args:
        folder: Where they are kept; made when missing.
        servers: Host names that are served under; also good for 127.0.0.1, and for calling.
        callers: Names that only call.
        now: The moment from which they are good.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / "ca.key").exists():
        _make_authority(folder, now)
    for names, serves in ((servers, True), (callers, False)):
        for name in names:
            if not _good(folder / f"{name}.pem", now):
                _make_certificate(folder, name, now, serves=serves)


def _good(path: Path, now: datetime) -> bool:
    if not path.exists():
        return False
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc - now > RENEWED_BEFORE


def _make_authority(folder: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Porchlight CA")
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder, "ca", made, key)


def _make_certificate(folder: Path, name: str, now: datetime, *, serves: bool) -> None:
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    signer = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey), "made by _make_authority"
    key = ec.generate_private_key(ec.SECP256R1())
    purposes, alternatives = [ExtendedKeyUsageOID.CLIENT_AUTH], [x509.DNSName(name)]
    here: list[x509.GeneralName] = []
    if serves:
        purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
        # For health checks inside the container, and for grpcurl through a published port.
        here = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(authority.subject, _name(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(min(now + LIFE, authority.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName([*alternatives, *here]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    _write(folder, name, made, key)


def _name(value: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # The key first: a certificate that is there then always has one.
    write_private(folder / f"{name}.key", private.decode())
    write_private(folder / f"{name}.pem", certificate.public_bytes(Encoding.PEM).decode())
