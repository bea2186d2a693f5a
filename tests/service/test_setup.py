"""`porchlight setup` against a Postgres of its own, and a service with just what compose gives it."""

import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from sandbox import certificates
from sandbox.child import free_port
from sandbox.setup import owner_url, secrets_of, write_secrets
from sandbox.table import PROCESSES
from tests.support.compose import CLEAN, Deployment, run, serving, set_up

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
async def deployment(state_dir: Path) -> AsyncIterator[Deployment]:
    async with set_up(state_dir) as made:
        yield made


async def test_service_with_what_compose_gives_it_is_healthy_to_those_with_a_certificate(deployment: Deployment):
    assert "up to date" in deployment.said
    address = f"127.0.0.1:{free_port()}"
    env = deployment.environment("handoff", PORCHLIGHT_LISTEN=address)
    lead = deployment.environment("lead")
    stranger = {name: value for name, value in lead.items() if "TLS_CERT" not in name and "TLS_KEY" not in name}
    plain = {name: value for name, value in stranger.items() if "TLS_CA" not in name}
    async with serving("services.handoff", env) as process:
        assert await run(["health", address], env) == (0, f"{address} serves\n")
        assert (await run(["health", address], lead))[0] == 0
        assert await run(["health", address], stranger) == (1, f"{address} does not serve\n")
        assert (await run(["health", address], plain))[0] == 1
    assert process.returncode == 0
    assert (await run(["health", address], env))[0] == 1


async def test_gateway_with_what_compose_gives_it_answers_both_ways(deployment: Deployment):
    rpc, http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    env = deployment.environment("gateway", PORCHLIGHT_LISTEN=rpc, PORCHLIGHT_HTTP_LISTEN=http)
    operator = CLEAN | {
        "PORCHLIGHT_STATE_DIR": str(deployment.state_dir),
        "PORCHLIGHT_GATEWAY_TARGET": rpc,
        "PORCHLIGHT_TLS_CERT_FILE": str(deployment.state_dir / "tls/operator.pem"),
        "PORCHLIGHT_TLS_KEY_FILE": str(deployment.state_dir / "tls/operator.key"),
        "PORCHLIGHT_TLS_CA_FILE": str(deployment.state_dir / "tls/ca.pem"),
    }
    async with serving("services.gateway", env):
        assert await run(["health", rpc, f"http://{http}"], env) == (0, f"{rpc} serves\nhttp://{http} serves\n")
        assert await run(["lanes"], operator) == (0, "nothing waits\n")


async def test_each_process_logs_in_as_itself_and_again_after_another_setup(deployment: Deployment):
    with_database = [each.name for each in PROCESSES if each.database_group]
    for name in with_database:
        url = (deployment.secrets / name / "database.url").read_text().strip()
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("select current_user") == f"porchlight_{name}_login"
        await connection.close()
    before = contents(deployment.secrets)
    url = (deployment.state_dir / "database.url").read_text().strip()
    env = CLEAN | {"PORCHLIGHT_STATE_DIR": str(deployment.state_dir), "PORCHLIGHT_DATABASE_URL": url}
    assert (await run(["setup", "--into", str(deployment.secrets)], env))[0] == 0
    assert contents(deployment.secrets) == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_secrets_are_for_their_owner_only_but_for_the_password_of_the_server(tmp_path: Path):
    write_secrets(tmp_path / "state", tmp_path / "secrets", now=NOON)
    readable = {path for path in tmp_path.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077}
    assert readable == {tmp_path / "secrets/postgres/password"}


def test_nobody_is_given_anothers_token_or_key(tmp_path: Path):
    write_secrets(tmp_path / "state", tmp_path / "secrets", now=NOON)
    with_secrets = [each for each in PROCESSES if secrets_of(each, tmp_path)]
    for secret in ("token", "tls.key"):
        held = [path.read_text() for path in (tmp_path / "secrets").glob(f"*/{secret}")]
        assert len(held) == len(set(held)) == len(with_secrets)
    assert not any(path.name == "ca.key" for path in (tmp_path / "secrets").rglob("*"))


def test_certificate_that_ends_soon_is_renewed_by_the_same_authority(tmp_path: Path):
    certificates.make_all(tmp_path, servers=["lead"], callers=[], now=NOON)
    first, authority = (tmp_path / "lead.pem").read_bytes(), (tmp_path / "ca.pem").read_bytes()
    certificates.make_all(tmp_path, servers=["lead"], callers=[], now=NOON + timedelta(days=300))
    assert (tmp_path / "lead.pem").read_bytes() == first
    certificates.make_all(tmp_path, servers=["lead"], callers=[], now=NOON + timedelta(days=310))
    renewed = x509.load_pem_x509_certificate((tmp_path / "lead.pem").read_bytes())
    assert renewed.not_valid_after_utc == NOON + timedelta(days=675)
    assert (tmp_path / "ca.pem").read_bytes() == authority
    renewed.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))


def test_certificate_of_a_caller_cannot_serve(tmp_path: Path):
    certificates.make_all(tmp_path, servers=["lead"], callers=["operator"], now=NOON)
    made = x509.load_pem_x509_certificate((tmp_path / "operator.pem").read_bytes())
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.mark.parametrize(
    ("url", "password"), [("postgresql://postgres@db:5432/x", "made"), ("postgresql://postgres:own@db:5432/x", "own")]
)
def test_owners_own_password_wins_over_the_one_that_was_made(url: str, password: str):
    assert urlsplit(owner_url(url, password="made")).password == password


async def test_database_that_does_not_answer_is_said_so(tmp_path: Path):
    url = f"postgresql://postgres:p@127.0.0.1:{free_port()}/x"
    env = CLEAN | {"PORCHLIGHT_STATE_DIR": str(tmp_path / "state"), "PORCHLIGHT_DATABASE_URL": url}
    code, said = await run(["setup", "--into", str(tmp_path / "secrets")], env)
    assert code == 1
    assert "the database does not answer" in said
