"""Certificates for both ends of a connection. Off on loopback, on beyond."""

import grpc

from kit.settings import Settings


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Return what a server listens with; None means without TLS.

    With a CA set, callers must show a certificate of that CA too (mTLS). The token
    still says who they are.
    """
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    authority = settings.tls_ca_file.read_bytes() if settings.tls_ca_file else None
    pair = (settings.tls_key_file.read_bytes(), settings.tls_cert_file.read_bytes())
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


def channel_credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    """Return what a channel connects with; None means without TLS."""
    if settings.tls_ca_file is None:
        return None
    key = settings.tls_key_file.read_bytes() if settings.tls_key_file else None
    chain = settings.tls_cert_file.read_bytes() if settings.tls_cert_file else None
    return grpc.ssl_channel_credentials(settings.tls_ca_file.read_bytes(), key, chain)
