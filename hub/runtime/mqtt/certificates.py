"""A certificate authority of the house's own, and certificates of it (X.509, ECDSA on P-256)."""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hub.whole_file import write_whole

AUTHORITY_LASTS = timedelta(days=3650)
CERTIFICATE_LASTS = timedelta(days=825)
"""The longest that phones and browsers take from an authority of one's own."""
RENEWED_BEFORE = timedelta(days=60)
SLACK = timedelta(days=1)
"""Clocks of small machines are late when they start."""

PrivateKey = ec.EllipticCurvePrivateKey


def authority(certificate: Path, key: Path, now: datetime) -> tuple[x509.Certificate, PrivateKey]:
    """The one in these files, or a new one. ValueError where they hold something else; OSError."""
    if certificate.exists() and key.exists():
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key}: is no key of an authority that was made here")
        return x509.load_pem_x509_certificate(certificate.read_bytes()), private
    private, name = ec.generate_private_key(ec.SECP256R1()), _name("TickerML, this house")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        _begun(name, name, private.public_key(), now, AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .sign(private, hashes.SHA256())
    )
    write_whole(key, _pem(private), private=True)
    write_whole(certificate, made.public_bytes(serialization.Encoding.PEM))
    return made, private


def certify(certificate: Path, key: Path, names: Sequence[str], issuer: tuple[x509.Certificate, PrivateKey], now: datetime) -> bool:
    """A certificate of `issuer` for a server of these names and addresses. False where the present one will do for a while."""
    if certificate.exists() and key.exists() and _serves(certificate, names, issuer[0], now):
        return False
    private = ec.generate_private_key(ec.SECP256R1())
    made = (
        _begun(_name(names[0]), issuer[0].subject, private.public_key(), now, CERTIFICATE_LASTS)
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key()), critical=False)
        .sign(issuer[1], hashes.SHA256())
    )
    write_whole(key, _pem(private), private=True)
    write_whole(certificate, made.public_bytes(serialization.Encoding.PEM))
    return True


def _serves(file: Path, names: Sequence[str], issuer: x509.Certificate, now: datetime) -> bool:
    try:
        present = x509.load_pem_x509_certificate(file.read_bytes())
        present.verify_directly_issued_by(issuer)
        its = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return set(its) == set(_alternatives(names)) and present.not_valid_after_utc - now > RENEWED_BEFORE


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - SLACK).not_valid_after(now + lasts)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
